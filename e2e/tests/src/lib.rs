//! What tests that span crates share: our programs, and nodes that run them.

mod node;

pub use fairlead_e2e_lab::program;
pub use node::{Agent, Cluster, Pod};
