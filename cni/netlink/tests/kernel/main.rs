//! The crate against the real kernel, each test in namespaces of its own.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod batches;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod bridges;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod links;
#[cfg(test)]
mod masquerade;
#[cfg(test)]
mod monitors;
#[cfg(test)]
mod namespaces;
#[cfg(test)]
mod neighbours;
#[cfg(test)]
mod nftables;
#[cfg(test)]
mod nftables_sets;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod rules;
