//! `fairlead`: what an operator does by hand, on a node and off it.
//!
//! [`cleanup`] removes from a node everything that Fairlead made on it. It keeps no state: what is there
//! is recognised by the marks of `fairlead_cni_node::owned`. [`policy`] and [`flows`] ask the agent over its
//! socket; what a packet meets they also work out from files, without any cluster. [`volume`] reads LVM's metadata
//! and changes tags and names of the storage driver's volumes.

pub mod cleanup;
pub mod cli;
mod error;
pub mod flows;
pub mod policy;
mod socket;
pub mod volume;

pub use error::CliError;
