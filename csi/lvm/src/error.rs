//! Every way in which reading or changing a volume group can fail, told from state.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Result of this crate.
pub type Result<T, E = LvmError> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LvmError {
    /// No disk carries the volume group, or the group has no such volume. All disks were read.
    #[error("{what} {name} does not exist")]
    NotFound {
        /// `volume group` or `logical volume`.
        what: &'static str,
        /// Name or id.
        name: String,
    },
    /// A name is taken.
    #[error("logical volume {name} of volume group {vg} exists already")]
    Exists {
        /// The volume group.
        vg: String,
        /// The name.
        name: String,
    },
    /// Physical volumes are missing: nothing may be said to not exist, and nothing is changed.
    #[error("volume group {vg} is not complete: no disk carries physical volume {}; plug it in, or \
             see `vgreduce --removemissing`", missing.join(", "))]
    Partial {
        /// The volume group.
        vg: String,
        /// Ids of the missing physical volumes.
        missing: Vec<String>,
    },
    /// Disks or a worker hang: nothing can be said now.
    #[error("volume group {vg} cannot be reached: {reason}")]
    Unreachable {
        /// The volume group's name or id.
        vg: String,
        /// What hangs.
        reason: String,
    },
    /// The volume group belongs to another host.
    #[error(
        "volume group {vg} belongs to the host with system id {system_id:?}, this host's is {ours:?}"
    )]
    Foreign {
        /// The volume group.
        vg: String,
        /// The owner.
        system_id: String,
        /// This host's, empty when it has none.
        ours: String,
    },
    /// The volume group was exported.
    #[error("volume group {vg} is exported; `vgimport {vg}` brings it back")]
    Exported {
        /// The volume group.
        vg: String,
    },
    /// The volume group is shared between hosts by a lock manager.
    #[error(
        "volume group {vg} is shared (lock type {lock_type}); only local volume groups are served"
    )]
    Shared {
        /// The volume group.
        vg: String,
        /// `sanlock`, `dlm`, `idm` or `clvm`.
        lock_type: String,
    },
    /// Several volume groups have the name, or several disks the same physical volume.
    #[error("{what} is there more than once: {}", places.join(", "))]
    Ambiguous {
        /// What.
        what: String,
        /// Where.
        places: Vec<String>,
    },
    /// It does not fit.
    #[error(
        "volume group {vg} has {free} free extents of {extent_size} bytes, {wanted} are needed"
    )]
    NoSpace {
        /// The volume group.
        vg: String,
        /// Extents that are needed, mirrors and parity included.
        wanted: u64,
        /// Extents that are free.
        free: u64,
        /// Bytes of an extent.
        extent_size: u64,
    },
    /// The metadata area has no room for one more volume.
    #[error(
        "the metadata area of volume group {vg} is full: {used} of {size} bytes; add a physical \
             volume made with a larger --metadatasize"
    )]
    MetadataFull {
        /// The volume group.
        vg: String,
        /// Bytes in use.
        used: u64,
        /// Bytes there.
        size: u64,
    },
    /// The volume is open, or others depend on it.
    #[error("logical volume {lv} of volume group {vg} is in use: {by}")]
    InUse {
        /// The volume group.
        vg: String,
        /// The volume.
        lv: String,
        /// By what.
        by: String,
    },
    /// LVM did not do it and the state does not tell why.
    #[error("LVM refused `{command}`: {words}")]
    Refused {
        /// The command, as an administrator would type it.
        command: String,
        /// LVM's words.
        words: String,
    },
    /// The command cannot be made: a value that LVM cannot take.
    #[error("{what} {value:?}: {legal}")]
    Invalid {
        /// Which value.
        what: &'static str,
        /// The value.
        value: String,
        /// What would be accepted.
        legal: &'static str,
    },
    /// Not done in time; it may still be done.
    #[error("`{command}` on volume group {vg} takes longer than {after:?} and goes on")]
    Timeout {
        /// The volume group.
        vg: String,
        /// The command.
        command: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// The metadata on a disk is damaged.
    #[error("metadata of LVM on {device}: {reason}")]
    Damaged {
        /// The disk.
        device: String,
        /// What is wrong.
        reason: String,
    },
    /// The system refused.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Snapshots were not taken at one instant; what there is of them is of no use.
    #[error("snapshots of volume group {vg} are not of one instant: {reason}")]
    NotTogether {
        /// The volume group.
        vg: String,
        /// What came between.
        reason: String,
    },
    /// No LVM on this host.
    #[error("no LVM here: liblvm2cmd.so.2.03 and /sbin/lvm are both missing; install lvm2")]
    NoLvm,
    /// The worker process did not do its part.
    #[error("the worker of volume group {vg}: {reason}")]
    Worker {
        /// The volume group.
        vg: String,
        /// What it did.
        reason: String,
    },
}

impl LvmError {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}
