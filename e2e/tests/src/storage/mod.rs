//! Storage nodes for tests: a machine with volume groups and the driver in it, and a client beside the driver.
//!
//! The driver's socket cannot be reached from outside of its machine. So the client is a program of its own,
//! `fairlead-storage-client`, which a [`Node`] starts inside, with [`Call`]s for it as JSON.

mod blocks;
mod call;
mod churn;
mod client;
mod data;
mod demo;
mod groups;
mod killing;
mod model;
mod node;
mod program;
mod record;
mod tracing;

pub use call::{
    Access, Answer, Call, Changed, Create, GroupCall, Parameters, Place, Refused, Source, Told,
    parameters,
};
pub use demo::demo;
pub use groups::Proof;
pub use killing::Stalls;
pub use model::cut;
pub use node::{Disks, METADATA, NO_UDEV, Node, PV_START, Setup, VG, pv_within};
pub use program::{RECOVERED, program};
pub use record::Record;

/// Where the driver listens, inside the machine.
pub const SOCKET: &str = "/run/fairlead/csi.sock";
