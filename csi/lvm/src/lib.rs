//! The only place that reads and changes LVM and device-mapper.
//!
//! * State is read from LVM's own text metadata on the physical volumes, straight from the disks: no LVM
//!   command, no lock ([`Lvm::vg`]). What the text cannot say (active, fill, health) is asked from
//!   device-mapper ([`Lvm::status`]).
//! * Changes are typed [`Command`]s, run one at a time per volume group in a worker process that has LVM's
//!   library loaded ([`Lvm::run`]). Whether a command did its work is read from the metadata and from
//!   device-mapper afterwards, never from LVM's exit code or words.
//! * Snapshots of several volumes are taken at one instant, which LVM cannot ([`Lvm::snapshot_together`]).
//! * Whatever a dead command left suspended is set right before anything else is done.
//!
//! The metadata on the disks is LVM's; this crate owns a cache of what it read and the worker processes.

mod argv;
mod blocks;
mod command;
mod config;
mod discover;
mod disk;
mod dm;
mod effect;
mod error;
mod events;
mod free;
mod host;
mod kept;
mod label;
mod lvm;
mod mark;
mod metadata;
mod probe;
mod queue;
mod reader;
mod recover;
mod status;
mod text;
mod together;
mod vg;
pub mod worker;
mod workers;

pub use argv::MOST_REMOVED;
pub use blocks::{BlockQuery, BlockRanges, ChangedBlocks};
pub use command::{Command, Kind, PvRange};
pub use error::{LvmError, Result};
pub use events::Events;
pub use fairlead_csi_volume::{LvUuid, VgUuid};
pub use lvm::{Lvm, Settings};
pub use status::{CowStatus, PoolMode, PoolStatus, RaidStatus, Status, ThinStatus};
pub use vg::{Layout, Lv, MetadataArea, PoolMessage, Pv, Vg, WhenFull};
