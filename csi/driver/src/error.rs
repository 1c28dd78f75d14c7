//! What can go wrong in a call, and which gRPC code says so. The function `code` is the only
//! place that knows codes.

use std::path::PathBuf;

use fairlead_csi_lvm::LvmError;
use fairlead_csi_mount::{ErrorKind, MountError};
use fairlead_csi_volume::page::PageError;
use fairlead_csi_volume::topology::TopologyError;
use fairlead_csi_volume::{
    AccessError, Full, LimitError, NameError, ParameterError, SizeError, TagError,
};
use tonic::{Code, Status};

/// Why a call fails. Texts name the value and what is allowed, never a secret.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// As csi.proto names it.
        field: &'static str,
    },
    /// A field has a value that cannot be.
    #[error("{field} is {value}; {allowed}")]
    Invalid {
        /// As csi.proto names it.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// A number that is too small or too large.
    #[error("{field} is {value}; {allowed}")]
    Outside {
        /// As csi.proto names it.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        allowed: String,
    },
    /// There is no such volume, snapshot or path, for sure.
    #[error("there is no {kind} {object}")]
    NotFound {
        /// `volume`, `snapshot`, …
        kind: &'static str,
        /// Its id.
        object: String,
    },
    /// The name is taken by something else than what is asked for.
    #[error("{kind} {object} exists with another shape: {differs}")]
    Exists {
        /// `volume`, `snapshot`.
        kind: &'static str,
        /// Its name.
        object: String,
        /// What differs, both values.
        differs: String,
    },
    /// Somebody else works on it.
    #[error(
        "an earlier call works on {kind} {object}; this one changes nothing, try again when that has ended"
    )]
    InFlight {
        /// `volume`, `snapshot`.
        kind: &'static str,
        /// Its id or name.
        object: String,
    },
    /// It does not fit.
    #[error("{why}")]
    NoRoom {
        /// What is asked for and what is left.
        why: String,
    },
    /// Something has to be done first.
    #[error("{why}")]
    Precondition {
        /// What is in the way, and what to do.
        why: String,
    },
    /// It cannot be known now.
    #[error("{why}")]
    Unavailable {
        /// What cannot be read.
        why: String,
    },
    /// Not served with this configuration or on this kernel.
    #[error("{why}")]
    Unsupported {
        /// What, and why.
        why: String,
    },
    /// A path on this node that is not what it should be.
    #[error("{path}: {why}")]
    Path {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Work stopped in the middle.
    #[error("{why}")]
    Internal {
        /// What happened.
        why: String,
    },
    /// A class's parameter.
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    /// No room by the rules of classes and pools.
    #[error(transparent)]
    Full(#[from] Full),
    /// A mutable parameter.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// A volume capability.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A size.
    #[error(transparent)]
    Size(#[from] SizeError),
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A part of a list.
    #[error(transparent)]
    Page(#[from] PageError),
    /// Another node.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A tag that LVM does not take.
    #[error(transparent)]
    Tag(#[from] TagError),
    /// LVM.
    #[error(transparent)]
    Lvm(#[from] LvmError),
    /// File systems and mounts.
    #[error(transparent)]
    Mount(#[from] MountError),
}

impl DriverError {
    pub(crate) fn precondition(why: impl Into<String>) -> Self {
        Self::Precondition { why: why.into() }
    }

    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self::Unavailable { why: why.into() }
    }

    pub(crate) fn internal(why: impl Into<String>) -> Self {
        Self::Internal { why: why.into() }
    }

    pub(crate) fn invalid(
        field: &'static str,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Invalid {
            field,
            value: value.into(),
            allowed: allowed.into(),
        }
    }
}

/// The gRPC code of an error: the tables of the CSI specification, with UNAVAILABLE for what cannot be
/// read: "there is none" is only said of a volume group that was read complete.
fn code(error: &DriverError) -> Code {
    match error {
        DriverError::Missing { .. }
        | DriverError::Invalid { .. }
        | DriverError::Parameter(_)
        | DriverError::Limit(_)
        | DriverError::Access(_)
        | DriverError::Name(_)
        | DriverError::Tag(_)
        | DriverError::Page(PageError::Negative { .. }) => Code::InvalidArgument,
        DriverError::NotFound { .. } => Code::NotFound,
        DriverError::Exists { .. } => Code::AlreadyExists,
        DriverError::InFlight { .. } | DriverError::Page(PageError::Token { .. }) => Code::Aborted,
        DriverError::NoRoom { .. } | DriverError::Full(_) | DriverError::Topology(_) => {
            Code::ResourceExhausted
        }
        DriverError::Precondition { .. } => Code::FailedPrecondition,
        DriverError::Unavailable { .. } => Code::Unavailable,
        DriverError::Unsupported { .. } => Code::Unimplemented,
        DriverError::Path { .. } | DriverError::Internal { .. } => Code::Internal,
        DriverError::Size(size) if size.is_invalid_argument() => Code::InvalidArgument,
        DriverError::Size(_) | DriverError::Outside { .. } => Code::OutOfRange,
        DriverError::Lvm(error) => match error {
            LvmError::NoSpace { .. } | LvmError::MetadataFull { .. } => Code::ResourceExhausted,
            LvmError::InUse { .. }
            | LvmError::Foreign { .. }
            | LvmError::Exported { .. }
            | LvmError::Shared { .. } => Code::FailedPrecondition,
            // The command goes on: the call is still in flight.
            LvmError::Timeout { .. } => Code::Aborted,
            LvmError::NotFound { .. }
            | LvmError::Partial { .. }
            | LvmError::Unreachable { .. }
            | LvmError::Ambiguous { .. }
            | LvmError::Damaged { .. }
            | LvmError::Io { .. }
            | LvmError::NotTogether { .. }
            // It died again and again: nothing is wrong with the call.
            | LvmError::Worker { .. }
            | LvmError::NoLvm => Code::Unavailable,
            _ => Code::Internal,
        },
        DriverError::Mount(error) => match error.kind() {
            ErrorKind::Invalid => Code::InvalidArgument,
            ErrorKind::OutOfRange => Code::OutOfRange,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Conflict => Code::AlreadyExists,
            ErrorKind::Busy | ErrorKind::Precondition => Code::FailedPrecondition,
            ErrorKind::Internal => Code::Internal,
        },
    }
}

impl From<DriverError> for Status {
    fn from(error: DriverError) -> Self {
        Self::new(code(&error), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_specification() {
        let why = String::new;
        let table = [
            (
                DriverError::Missing { field: "name" },
                Code::InvalidArgument,
            ),
            (DriverError::invalid("a", "b", "c"), Code::InvalidArgument),
            (
                DriverError::precondition("in use"),
                Code::FailedPrecondition,
            ),
            (DriverError::unavailable("no disk"), Code::Unavailable),
            (DriverError::internal("died"), Code::Internal),
            (DriverError::NoRoom { why: why() }, Code::ResourceExhausted),
            (DriverError::Unsupported { why: why() }, Code::Unimplemented),
            (
                DriverError::Page(PageError::Token { token: why() }),
                Code::Aborted,
            ),
            (
                DriverError::Page(PageError::Negative { number: -1 }),
                Code::InvalidArgument,
            ),
            (
                DriverError::Lvm(LvmError::NotFound {
                    what: "volume group",
                    name: "data".to_owned(),
                }),
                Code::Unavailable,
            ),
            (
                DriverError::Lvm(LvmError::Partial {
                    vg: "data".to_owned(),
                    missing: Vec::new(),
                }),
                Code::Unavailable,
            ),
            (
                DriverError::Lvm(LvmError::NoSpace {
                    vg: "data".to_owned(),
                    wanted: 2,
                    free: 1,
                    extent_size: 1,
                }),
                Code::ResourceExhausted,
            ),
            (
                DriverError::Lvm(LvmError::Worker {
                    vg: "data".to_owned(),
                    reason: "it was killed".to_owned(),
                }),
                Code::Unavailable,
            ),
        ];
        for (error, expected) in table {
            let status = Status::from(error);
            assert_eq!(status.code(), expected, "{}", status.message());
        }
    }

    #[test]
    fn texts_name_what_is_there_and_what_is_allowed() {
        let exists = DriverError::Exists {
            kind: "volume",
            object: "pvc-1".to_owned(),
            differs: "it has 1 byte".to_owned(),
        };
        let missing = DriverError::NotFound {
            kind: "snapshot",
            object: "x".to_owned(),
        };
        let texts = [
            exists,
            missing,
            DriverError::invalid("path", "a", "an absolute path is needed"),
        ];
        assert_eq!(
            texts.map(|error| error.to_string()),
            [
                "volume pvc-1 exists with another shape: it has 1 byte",
                "there is no snapshot x",
                "path is a; an absolute path is needed",
            ]
        );
    }
}
