//! Why an object cannot become a domain type.

use thiserror::Error;

/// Why a Kubernetes Node cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum NodeError {
    /// `metadata.name` is missing or empty.
    #[error("node without metadata.name")]
    NoName,
    /// Another kind of object, or another version.
    #[error("expected apiVersion v1 and kind Node, NodeList or List, got {api_version:?} {kind:?}")]
    Kind {
        /// As given; empty when missing.
        api_version: String,
        /// As given; empty when missing.
        kind: String,
    },
    /// A member of `spec.podCIDRs` is not `address/length`.
    #[error("node {node}: pod range {value:?} is not of the form address/length")]
    PodRange {
        /// The node's name.
        node: String,
        /// The text.
        value: String,
    },
    /// A member of `spec.podCIDRs` with bits set behind its prefix length.
    #[error("node {node}: pod range {value} has host bits set")]
    HostBits {
        /// The node's name.
        node: String,
        /// The text.
        value: String,
    },
    /// An `InternalIP` that is none.
    #[error("node {node}: InternalIP {value:?} is not an address")]
    Address {
        /// The node's name.
        node: String,
        /// The text.
        value: String,
    },
}
