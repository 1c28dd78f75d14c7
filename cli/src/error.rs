//! Everything that can go wrong here.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// An error of the clean-up; its text says what was tried on what.
#[derive(Debug, Error)]
pub enum CleanupError {
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
    /// The kernel's network state.
    #[error(transparent)]
    Netlink(#[from] fairlead_cni_netlink::NetlinkError),
}

impl CleanupError {
    pub(crate) fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File {
            action,
            path: path.to_owned(),
            source,
        }
    }
}
