//! Side-by-side benches against the reference plugins, printed as ratios.
//!
//! All subjects work in turns in one run, each in a node namespace of its own, so that what else the
//! machine does hits them alike. Wall times are from spawn to exit as a runtime sees them; CPU is that of
//! the plugin's processes and all their descendants, also of those that outlive it.

mod attach;
mod burst;
mod call;
mod cli;
mod goals;
mod host_local;
mod ipam;
mod kernel;
mod peers;
mod phase;
mod policy;
mod report;
mod sample;
mod storage;
mod subject;
mod traffic;

pub use cli::{Args, run};
