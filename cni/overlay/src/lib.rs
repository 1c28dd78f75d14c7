//! The overlay: from the nodes of a cluster to the forwarding entries, neighbours, nexthop objects and
//! routes of one VXLAN device, and the difference from what stands.
//!
//! Pure: whoever uses it dumps the kernel's state and writes the changes.

mod diff;
pub mod mtu;
#[cfg(test)]
mod tests;
mod types;
mod wanted;

pub use diff::{Actual, Change, Changes, diff};
pub use types::{Mac, Vni};
pub use wanted::{Fault, Ids, Own, Peer, Wanted, Way, wanted};
