//! The per-node network daemon.
//!
//! Cluster state comes in from one of the [`source`]s, [`cluster`] makes a [`cluster::View`] of it,
//! and everything else is a loop of wanted, actual, diff, apply over state that the kernel or the
//! disk owns. Ending the agent changes nothing.

pub mod address;
pub mod check_pod;
pub mod checksum;
pub mod cli;
pub mod cluster;
pub mod conditions;
pub mod config;
pub mod error;
pub mod files;
pub mod forward;
pub mod gc;
pub mod http;
pub mod install;
pub mod kernel;
pub mod lock;
pub mod logs;
pub mod memory;
pub mod metrics;
pub mod nftables;
pub mod nodestatus;
pub mod overlay;
pub mod pauses;
pub mod policy;
pub mod reconcile;
pub mod routes;
pub mod run;
pub mod source;
