//! The overlay: from the nodes of a cluster to the forwarding entries, neighbours, nexthop objects and
//! routes of one VXLAN device, and the difference from what stands.
//!
//! Pure: whoever uses it dumps the kernel's state and writes the changes.

mod types;

pub use types::{Mac, Vni};
