//! The data path against the real kernel: each test in namespaces and a folder of the BPF file system of its own.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod counters;
#[cfg(test)]
mod links;
#[cfg(test)]
mod loading;
#[cfg(test)]
mod node;
#[cfg(test)]
mod room;
#[cfg(test)]
mod tables;
#[cfg(test)]
mod traffic;
