//! What agent and plugin agree on: the node file and the constants that mark what is ours.

pub mod node_file;
pub mod owned;

pub use node_file::{Mode, NodeFile, NodeFileError};
