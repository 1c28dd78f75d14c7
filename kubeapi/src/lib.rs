//! The Kubernetes objects Fairlead reads, reduced to the fields it uses.
//!
//! [`NodeObject`] is what the API server or a file holds; [`Node`] is what the rest of Fairlead
//! works with. Nothing outside of this crate sees a `k8s-openapi` type.

pub mod condition;
mod error;
mod node;
mod object;

pub use condition::NodePatch;
pub use error::NodeError;
pub use node::Node;
pub use object::{Item, NodeObject};
