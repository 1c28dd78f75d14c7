//! Every way in which work on a device or a mount can fail, in the operator's words.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::fs_type::FsType;

/// Result of this crate.
pub type Result<T, E = MountError> = std::result::Result<T, E>;

/// What a caller may do about an [`MountError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request names something that is never accepted.
    Invalid,
    /// The size is not one that works.
    OutOfRange,
    /// The path or device is not there.
    NotFound,
    /// The same thing exists in another form.
    Conflict,
    /// Somebody uses it.
    Busy,
    /// It may work after somebody changed something: a secret, a signature on a device.
    Precondition,
    /// The kernel, a disk or a program failed.
    Internal,
}

/// A process that keeps a file system busy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its id as this process sees it.
    pub pid: i32,
    /// The kernel's name of it.
    pub name: String,
    /// What it holds: a file's path, its working directory …
    pub what: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}) with {}", self.pid, self.name, self.what)
    }
}

/// What went wrong, with the value and what would have been right.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MountError {
    /// A value of the class or of the request is never accepted.
    #[error("{what} {value:?} is refused: {legal}")]
    Option {
        /// `mkfs option`, `mount flag` …
        what: &'static str,
        /// The refused value.
        value: String,
        /// What would be accepted, or why not.
        legal: String,
    },
    /// The device is smaller than the file system can be.
    #[error("{fs} needs at least {minimum} bytes and {device} has {size}: ask for a larger volume")]
    TooSmall {
        /// Which one.
        fs: FsType,
        /// The device.
        device: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// [`FsType::minimum_size`].
        minimum: u64,
    },
    /// The formatting rule does not allow what would be needed.
    #[error("{device} is left alone: {why}")]
    Refused {
        /// The device.
        device: PathBuf,
        /// Tag, probe, and what to do.
        why: String,
    },
    /// Something else is mounted there, or the same in another way.
    #[error("{target} has {found} mounted, not {wanted}: end its use by another call first")]
    Conflict {
        /// The mount point.
        target: PathBuf,
        /// What the mount table says.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// It is in use; nothing was changed.
    #[error("cannot {operation} {object}: it is in use by {}", holders_in_words(.holders))]
    Busy {
        /// `unmount`, `close`.
        operation: &'static str,
        /// Mount point or device.
        object: PathBuf,
        /// Those that could be seen; empty when they live where this process does not see them.
        holders: Vec<Holder>,
    },
    /// The key opens no slot.
    #[error(
        "the secret does not open {device}: a volume made from a snapshot or another volume keeps the \
         key of its source; give the secret of the source"
    )]
    WrongKey {
        /// The encrypted device.
        device: PathBuf,
    },
    /// The kernel keeps this mapping's key where it cannot be read, so that a resize needs the secret.
    #[error(
        "cannot grow {mapping} without its key: give the secret {secret:?} with the request, or stage \
         the volume again"
    )]
    KeyNeeded {
        /// `fl-luks-…`.
        mapping: String,
        /// The name of the secret's key.
        secret: &'static str,
    },
    /// The path is not there.
    #[error("cannot {operation} {path}: it does not exist")]
    NotFound {
        /// What was to be done.
        operation: &'static str,
        /// The path.
        path: PathBuf,
    },
    /// The path is no block device.
    #[error("{path} is not a block device")]
    NotBlock {
        /// The path.
        path: PathBuf,
    },
    /// A program is not installed.
    #[error("cannot find the program {program} in {path}: install {package}")]
    NoProgram {
        /// `mkfs.xfs`.
        program: &'static str,
        /// Where it was looked for.
        path: String,
        /// Which package has it.
        package: &'static str,
    },
    /// A program failed.
    #[error("{program} of {object} failed with {status}: {words}")]
    Program {
        /// `mkfs.xfs`.
        program: &'static str,
        /// The device.
        object: PathBuf,
        /// Its exit code or signal.
        status: String,
        /// What it said, shortened.
        words: String,
    },
    /// The kernel or a disk failed; a read that fails while probing is this, never "blank".
    #[error("cannot {operation} {object}: {source}")]
    Io {
        /// What was to be done.
        operation: &'static str,
        /// The path.
        object: PathBuf,
        /// The kernel's word.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a mount.
    #[error("cannot mount {device} as {fs} at {target} with {options:?}: {source}{}", said(.words))]
    Mount {
        /// The device.
        device: PathBuf,
        /// The mount point.
        target: PathBuf,
        /// Its type.
        fs: FsType,
        /// Flags and data in mount(8)'s words.
        options: String,
        /// The kernel's word.
        #[source]
        source: io::Error,
        /// What the file system said about it, where the kernel hands it out.
        words: String,
    },
    /// A file of the kernel holds what no kernel writes.
    #[error("cannot read {what} {text:?}")]
    Malformed {
        /// `a line of mountinfo`.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// The caller could not note the state of the volume.
    #[error("cannot record that {device} is formatted: {source}")]
    Record {
        /// The device.
        device: PathBuf,
        /// The caller's own error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl MountError {
    /// What a caller may do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Option { .. } => ErrorKind::Invalid,
            Self::TooSmall { .. } => ErrorKind::OutOfRange,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Conflict { .. } => ErrorKind::Conflict,
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Refused { .. } | Self::WrongKey { .. } | Self::KeyNeeded { .. } => {
                ErrorKind::Precondition
            }
            Self::NotBlock { .. }
            | Self::NoProgram { .. }
            | Self::Program { .. }
            | Self::Io { .. }
            | Self::Mount { .. }
            | Self::Malformed { .. }
            | Self::Record { .. } => ErrorKind::Internal,
        }
    }

    /// For `map_err` of a call on a path.
    pub(crate) fn io(
        operation: &'static str,
        object: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let object = object.into();
        move |source| Self::Io {
            operation,
            object,
            source,
        }
    }

    /// The same for what nix returns.
    pub(crate) fn errno(
        operation: &'static str,
        object: impl Into<PathBuf>,
    ) -> impl FnOnce(nix::Error) -> Self {
        let object = object.into();
        move |source| Self::Io {
            operation,
            object,
            source: source.into(),
        }
    }
}

fn holders_in_words(holders: &[Holder]) -> String {
    if holders.is_empty() {
        return "a process that is not visible from here, or a mount below it".to_owned();
    }
    holders
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn said(words: &str) -> String {
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({words})")
    }
}

#[cfg(test)]
mod tests;
