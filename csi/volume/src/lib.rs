//! Volumes as Fairlead sees them: ids, tags, parameters, sizes and the checks of requests.
//!
//! - [`VolumeId`], [`LvUuid`], [`VgUuid`], [`PvUuid`]: LVM's own ids; they survive `lvrename`, `vgrename` and `vgcfgrestore`.
//! - [`Record`]: what an LV's tags say of it; [`Record::from_tags`] and [`Record::tags`] are each other's inverse.
//! - [`Parameters`], [`SnapshotParameters`], [`Limits`]: what a class asks for, checked once.
//! - [`CapacityRange`], [`Rules`]: sizes in bytes and in extents.
//! - [`Access`], [`publish`], [`topology`], [`compatible`], [`page`]: the questions of requests.
//! - [`Space`], [`pool`], [`metadata`]: what fits into a volume group and its pools.
//! - [`aside`]: what was put aside by hand, and when it is removed.
//! - [`health`]: what is wrong with a volume or its disks, from statuses.
//!
//! Everything here is pure: no clock, no file, no process. Nothing holds state.

mod access;
pub mod aside;
mod capacity;
pub mod compatible;
pub mod health;
mod id;
mod limits;
pub mod metadata;
mod name;
pub mod page;
mod parameters;
pub mod pool;
pub mod publish;
mod quantity;
mod record;
mod snapshot;
mod space;
mod tag;
pub mod topology;

pub use access::{Access, AccessError, AccessKind, AccessMode};
pub use capacity::{CapacityRange, Chosen, LUKS_HEADER, Rules, SizeError};
pub use id::{IdError, LvUuid, PvUuid, VgUuid, VolumeId};
pub use limits::{Change, LimitError, Limits};
pub use name::{CoName, NameError, filesystem_uuid, luks_name, lv_name};
pub use parameters::{
    Encryption, Fs, Layout, ParameterError, Parameters, Reserve, WhenFull, Wipe, is_lvm_name,
};
pub use quantity::{QuantityError, bytes};
pub use record::{FsState, Kind, Member, Record, RecordError, Source, changes};
pub use snapshot::{SnapshotParameters, SnapshotSize};
pub use space::{Full, PvSpace, Space};
pub use tag::{MAX_TAG, TagError};
