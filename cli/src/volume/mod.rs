//! `fairlead volume`: the storage driver's volumes by hand, on their node.
//!
//! State is LVM's: it is read from the disks and from device-mapper without any LVM command, beside a driver that
//! runs or without one. What changes something ([`gc`], [`adopt`]) is one LVM command after the other under LVM's own
//! lock; each command alone leaves a state that both the driver and this program understand.

pub mod adopt;
pub mod arguments;
mod disks;
pub mod entry;
mod error;
pub mod explain;
pub mod gc;
mod health;
pub mod list;
pub mod node;
pub mod persistent;
mod run;
#[cfg(test)]
mod tests;
pub mod world;

pub use arguments::VolumeCommand;
pub use error::VolumeError;
pub use run::run;

/// The hidden command that serves LVM's commands to the program itself.
pub const WORKER: &str = "lvm-worker";
