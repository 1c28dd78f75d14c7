//! The programs' behaviour, packet by packet: each test loads the real object, writes its maps by hand and runs
//! frames through its hooks by `BPF_PROG_TEST_RUN`.

#[cfg(test)]
mod bridged;
#[cfg(test)]
mod errors;
#[cfg(test)]
mod flows;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod frame;
#[cfg(test)]
mod headers;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod link;
#[cfg(test)]
mod node;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod shortcut;
#[cfg(test)]
mod sources;
