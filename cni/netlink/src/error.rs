//! The one error type, with the kernel's own words where it gave any.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// What was asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Make a new object.
    Create,
    /// Make a new object or overwrite the one that stands in its place.
    Replace,
    /// Change an existing object.
    Change,
    /// Remove an object.
    Delete,
    /// Read one object.
    Read,
    /// Read all objects of a kind.
    List,
    /// Ask which route the kernel takes.
    LookUp,
    /// Apply an nftables transaction.
    Commit,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Replace => "replace",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::List => "list",
            Self::LookUp => "look up",
            Self::Commit => "commit",
        })
    }
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused.
    #[error("cannot {operation} {object}: {errno}{}{}", words(message.as_deref()), hint(*errno))]
    Refused {
        /// What was asked.
        operation: Operation,
        /// Of which object.
        object: String,
        /// The kernel's error number.
        errno: Errno,
        /// The kernel's extended acknowledgement, when it sent one.
        message: Option<String>,
        /// Offset of the offending attribute in the message, in bytes, when the kernel named one.
        offset: Option<u32>,
    },
    /// The kernel dropped messages because the socket's receive buffer was full.
    #[error(
        "the kernel dropped netlink messages while {doing}: what was read is incomplete, list again"
    )]
    Overrun {
        /// What was going on.
        doing: String,
    },
    /// A list changed under every attempt to read it.
    #[error(
        "the list of {object} changed during each of {attempts} attempts to read it: try again"
    )]
    Unsteady {
        /// What was listed.
        object: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A message did not have the form that the kernel promises.
    #[error("the kernel's answer about {object} is malformed")]
    Malformed {
        /// What was asked about.
        object: String,
    },
    /// A request does not fit the length fields of netlink.
    #[error("cannot send {object}: one {part} is over netlink's limit of 65,535 bytes; split it")]
    TooLong {
        /// What was to be sent.
        object: String,
        /// The part whose length field overflows.
        part: &'static str,
    },
    /// A netlink socket failed.
    #[error("cannot {doing} a netlink socket: {source}")]
    Socket {
        /// What was done with it.
        doing: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A network namespace could not be opened, entered, made or removed.
    #[error(
        "cannot {doing} network namespace {object}: {source}{}",
        io_hint(source)
    )]
    Namespace {
        /// What was done.
        doing: &'static str,
        /// Its path or description.
        object: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A key below `/proc/sys` could not be read or written.
    #[error("cannot {doing} sysctl {}: {source}", path.display())]
    Sysctl {
        /// `read`, or `write` with the value.
        doing: String,
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A link name breaks the kernel's rules.
    #[error(
        "{name:?} is no link name: it takes 1 to 15 bytes without '/', ':' or white space, and not \".\" or \"..\""
    )]
    LinkName {
        /// The name.
        name: String,
    },
    /// A hardware address does not parse.
    #[error("{text:?} is no hardware address: it takes six bytes as in 02:00:5e:10:00:01")]
    Mac {
        /// The text.
        text: String,
    },
}

impl NetlinkError {
    /// The error number of the kernel or the system, when there is one.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Socket { source, .. }
            | Self::Namespace { source, .. }
            | Self::Sysctl { source, .. } => source.raw_os_error().map(Errno::from_raw),
            Self::Overrun { .. } => Some(Errno::ENOBUFS),
            _ => None,
        }
    }

    /// Whether the object is not there: for a deletion that is success.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(
            self.errno(),
            Some(
                Errno::ENODEV | Errno::ENOENT | Errno::ESRCH | Errno::EADDRNOTAVAIL | Errno::ENXIO
            )
        )
    }

    /// Whether the object is there already.
    #[must_use]
    pub fn is_exists(&self) -> bool {
        self.errno() == Some(Errno::EEXIST)
    }

    /// Whether this kernel has no support for what was asked.
    #[must_use]
    pub fn is_unsupported(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT)
        )
    }

    /// Whether messages were lost, so that only a fresh dump says what holds.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        matches!(self, Self::Overrun { .. })
    }

    /// Whether an nftables transaction met a ruleset that had changed since it was read.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.errno() == Some(Errno::ERESTART)
    }
}

/// The system's error of a nix call, for variants with a source.
pub(crate) fn io(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}

fn words(message: Option<&str>) -> String {
    message
        .map(|message| format!(": {message}"))
        .unwrap_or_default()
}

/// What to do about an error number whose own text does not say it.
fn hint(errno: Errno) -> &'static str {
    match errno {
        Errno::EPERM | Errno::EACCES => " (this takes CAP_NET_ADMIN in the network namespace)",
        Errno::EOPNOTSUPP => " (this kernel has no support for it)",
        Errno::ERESTART => " (the ruleset has changed since it was read: read it again)",
        _ => "",
    }
}

fn io_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM) => " (this takes CAP_SYS_ADMIN)",
        Some(Errno::EINVAL) => " (the file is no network namespace)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_name_operation_object_number_and_the_kernels_words() {
        let mut error = NetlinkError::Refused {
            operation: Operation::Create,
            object: "route 10.0.0.0/24 via 10.1.0.1".into(),
            errno: Errno::ENETUNREACH,
            message: Some("Nexthop has invalid gateway".into()),
            offset: None,
        };
        assert_eq!(
            error.to_string(),
            "cannot create route 10.0.0.0/24 via 10.1.0.1: ENETUNREACH: Network is unreachable: Nexthop has invalid gateway"
        );
        if let NetlinkError::Refused { errno, message, .. } = &mut error {
            *errno = Errno::EPERM;
            *message = None;
        }
        assert_eq!(
            error.to_string(),
            "cannot create route 10.0.0.0/24 via 10.1.0.1: EPERM: Operation not permitted (this takes CAP_NET_ADMIN in the network namespace)"
        );
    }
}
