//! What tests that span crates share: our programs, and nodes that run them.

mod node;
mod program;

pub use node::{Agent, Cluster, Pod};
pub use program::program;
