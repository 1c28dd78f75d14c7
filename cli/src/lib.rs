//! `fairlead`: what an operator does on a node by hand.
//!
//! [`cleanup`] removes from a node everything that Fairlead made on it. It keeps no state: what is there
//! is recognised by the marks of `fairlead_cni_node::owned`.

pub mod cleanup;
pub mod cli;
mod error;

pub use error::CleanupError;
