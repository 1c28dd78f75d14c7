//! What agent and plugin agree on: the node file, the messages of the policy socket, and the constants
//! that mark what is ours.

pub mod node_file;
pub mod owned;
pub mod policy;
pub mod time;

pub use node_file::{Mode, NodeFile, NodeFileError};
