//! Why an object cannot become a domain type.

use thiserror::Error;

/// Why a Node, or a document of a file, cannot be used.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum NodeError {
    /// `metadata.name` is missing or empty.
    #[error("node without metadata.name")]
    NoName,
    /// Another kind of object, or another version.
    #[error(
        "expected kind Node, Pod or Namespace of apiVersion v1, NetworkPolicy of networking.k8s.io/v1, or a \
         list of these, got {api_version:?} {kind:?}"
    )]
    Kind {
        /// As given; empty when missing.
        api_version: String,
        /// As given; empty when missing.
        kind: String,
    },
    /// A field of the wrong type.
    #[error("{kind}: {reason}")]
    Shape {
        /// The object's kind.
        kind: String,
        /// What the parser says.
        reason: String,
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
