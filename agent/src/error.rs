//! Everything that can go wrong in the agent.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of the agent; its text says what was done, to what, and what would be right.
#[derive(Debug, Error)]
pub enum AgentError {
    /// A value of the configuration is out of its range.
    #[error("{key} is {value}, expected {expected}")]
    Config {
        /// The key, from the top of the file.
        key: &'static str,
        /// The value as written.
        value: String,
        /// What is legal.
        expected: &'static str,
    },
    /// Broken YAML, an unknown key or a value of the wrong type.
    #[error("{what}: {source}")]
    Yaml {
        /// What was read.
        what: String,
        /// What the parser says, with line and column.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// Neither the configuration nor the environment names the node.
    #[error(
        "node.name is empty and NODE_NAME is not set; set one of them to the name of this node"
    )]
    NoNodeName,
    /// Another process holds the lock of the node.
    #[error(
        "another agent, or `fairlead node cleanup`, is at work on this node: it holds {path}; \
         this one starts when that has ended"
    )]
    Locked {
        /// The file that it holds.
        path: PathBuf,
    },
    /// A file or folder.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// A Node object in a file.
    #[error("{path}: {source}")]
    Node {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: fairlead_kubeapi::NodeError,
    },
    /// The kernel's network state.
    #[error(transparent)]
    Netlink(#[from] fairlead_cni_netlink::NetlinkError),
    /// Leases.
    #[error(transparent)]
    Ipam(#[from] fairlead_ipam::IpamError),
    /// A part of the agent stopped, which none should.
    #[error("a part of the agent stopped; the log says why")]
    PartEnded,
    /// The API server.
    #[error("cannot {action}: {}", with_causes(source.as_ref()))]
    Kubernetes {
        /// What was tried.
        action: &'static str,
        /// What the client says.
        #[source]
        source: Box<kube::Error>,
    },
    /// A listening socket.
    #[error("cannot listen on {address} for {what}: {source}; set {key} to a free address")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// What would be served there.
        what: &'static str,
        /// The key that sets the address.
        key: &'static str,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
}

impl AgentError {
    /// Whether a file is not there.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::File { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// A failed `action` on the file at `path`.
    #[must_use]
    pub fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// The error's kind as the metric `fairlead_errors_total` counts it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Config { .. } | Self::Yaml { .. } | Self::NoNodeName => "config",
            Self::File { .. } | Self::Ipam(_) | Self::Locked { .. } => "file",
            Self::Node { .. } => "node",
            Self::Netlink(_) => "netlink",
            Self::Kubernetes { .. } => "kubernetes",
            Self::PartEnded => "internal",
            Self::Listen { .. } => "listen",
        }
    }
}

/// The text of `error` and of what is behind it, as far as that says more: the client of the API server
/// names the operation alone.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Error)]
    #[error("outer")]
    struct Outer(#[source] Middle);

    #[derive(Debug, Error)]
    #[error("middle: {0}")]
    struct Middle(#[source] io::Error);

    #[test]
    fn causes_are_told_once() {
        let refused = io::Error::from_raw_os_error(111);
        assert_eq!(
            with_causes(&Outer(Middle(refused))),
            "outer: middle: Connection refused (os error 111)"
        );
    }
}
