//! The CSI driver: one storage process per node.
//!
//! A call is checked (`request`), claims what it works on (`inflight`), and is done on a thread that may wait
//! (`driver`): by csi/lvm, csi/mount and csi/volume, which know LVM, file systems and the rules. What is
//! ours in a volume group is `groups`; state is LVM's alone.
//!
//! - `identity`, `controller`, `group_snapshot`, `node`: the services, a file a concern.
//! - `place`, `pool`, `thick`, `copy`, `limits`: the ways in which volumes come into being.
//! - `health`: how they are.
//! - `blocks`: what of snapshots has changed.
//! - `background`, `keeper`, `remove`, `throttle`: what goes on between calls.
//! - `ephemeral`: volumes that live as long as their pod.
//! - `run`, `lock`, `socket`, `commands`, `http`, `metrics`, `config`, `cli`, `logs`, `memory`: the process.

mod background;
mod blocks;
pub mod cli;
mod commands;
pub mod config;
mod controller;
mod copy;
mod driver;
mod ephemeral;
mod error;
mod group_snapshot;
mod groups;
mod health;
mod http;
mod identity;
mod inflight;
mod keeper;
mod limits;
mod lock;
mod logs;
mod memory;
mod metrics;
mod node;
mod place;
mod pool;
mod remove;
mod request;
mod run;
mod socket;
mod thick;
mod throttle;

pub use error::DriverError;
pub use identity::NAME;
