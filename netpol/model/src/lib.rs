//! Kubernetes `NetworkPolicy`: what it means (the oracle), its compilation to the content of the data path's maps,
//! and an account of which policy and rule decided. Pure.
//!
//! - [`cluster`]: what goes in: pods, namespaces, policies as plain values.
//! - [`tables`]: what comes out: the content of the maps, and the writes that change it.
//! - [`oracle`]: the API's text, for one packet.
//! - [`explain`]: which policies and rules decide about it.
//! - [`Compiler`]: keeps the cluster and what of it this node needs, and says what to write.

pub mod ask;
pub mod cluster;
mod compiler;
pub mod explain;
pub mod oracle;
pub mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use compiler::{Compiler, Counts};
