//! Everything that can go wrong here.

use std::io;
use std::path::{Path, PathBuf};

use fairlead_cni_node::policy::MessageError;
use fairlead_netpol_model::ask::AskError;
use thiserror::Error;

/// An error; its text says what was tried on what.
#[derive(Debug, Error)]
pub enum CliError {
    /// The agent would put back what is removed.
    #[error(
        "an agent runs on this node (it holds {}); end it first: helm uninstall, or systemctl stop",
        path.display()
    )]
    AgentRuns {
        /// The file that it holds locked.
        path: PathBuf,
    },
    /// A file or folder.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// An end of a packet that cannot be read.
    #[error("{value:?} is not {expected}")]
    Side {
        /// As given.
        value: String,
        /// What it should have been, with an example.
        expected: &'static str,
    },
    /// A file that is no YAML.
    #[error("{}: {source}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the line.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// An object in a file that is not what its kind says.
    #[error("{}: {name}: {reason}", path.display())]
    Object {
        /// The file.
        path: PathBuf,
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A packet that cannot be.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// No agent answers.
    #[error(
        "cannot reach the agent at {}: {source}; run this as root on a node, or in the agent's pod of the node in \
         question, or give the cluster's objects with --file",
        path.display()
    )]
    NoAgent {
        /// Its socket.
        path: PathBuf,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// The agent's answer cannot be read.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The agent does not do it.
    #[error("the agent says: {0}")]
    Refused(String),
    /// The agent has closed the connection.
    #[error("the agent has ended")]
    Ended,
    /// Another answer than the request has.
    #[error(
        "the agent answers something else than it was asked; install agent and command of the same release"
    )]
    OtherAnswer,
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[source] io::Error),
    /// Volumes.
    #[error(transparent)]
    Volume(#[from] crate::volume::VolumeError),
    /// The kernel's network state.
    #[error(transparent)]
    Netlink(#[from] fairlead_cni_netlink::NetlinkError),
}

impl CliError {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
