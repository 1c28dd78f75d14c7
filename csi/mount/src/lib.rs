//! File systems and mounts: probe, format, mount, grow, encrypt, publish.
//!
//! - [`stage`] takes a volume from "active device" to "mounted", whatever was interrupted before: it
//!   decides by tag and probe whether to format ([`decide`]), opens LUKS, gives copies their own
//!   UUID, replays logs, checks, mounts and grows. [`unstage`] is its reverse.
//! - [`publish_mount`] and [`publish_block`] bind what is staged to a pod's path; [`unpublish`] ends it.
//! - [`grow`] follows an LV that has grown, mounted or not.
//!
//! State is the device and the kernel's mount table, nothing else: every call reads them, so every
//! call may be repeated. Nothing is forced: no lazy or forced unmount, no force flag of any `mkfs`, no
//! log thrown away, no `fsck` but `-p`. Programs are run by argument list with a clean environment;
//! keys travel on standard input only.

mod btrfs;
mod copy;
mod decide;
mod device;
mod error;
mod exec;
mod ext4;
mod format;
mod fs_type;
mod grow;
mod holders;
mod luks;
mod mount;
mod mountinfo;
mod options;
mod probe;
mod publish;
mod stage;
mod stats;
mod sys;
mod throttle;
mod uuid;
mod wipe;
mod xfs;

pub use decide::{Decision, Formatted, Wanted, decide};
pub use device::{DeviceNumber, device_number, device_size, is_block, set_read_only};
pub use error::{ErrorKind, Holder, MountError, Result};
pub use exec::Tools;
pub use format::{MkfsOptions, format};
pub use fs_type::FsType;
pub use grow::{grow, grow_file_system};
pub use luks::{
    Key, LUKS_HEADER, is_luks_open, luks_add_key, luks_close, luks_format, luks_name, luks_open,
    luks_resize, luks_set_uuid,
};
pub use mount::{Done, mount_device, unmount};
pub use mountinfo::{MountEntry, Mounts};
pub use options::MountOptions;
pub use probe::{Kind, Probe, Signature, inspect, probe};
pub use publish::{publish_block, publish_mount, unpublish};
pub use stage::{Access, Recorder, Stage, Staged, stage, unstage};
pub use stats::{Stats, Usage, stats};
pub use throttle::{IoLimits, io_max, set_io_max};
pub use uuid::Uuid;
pub use wipe::{overwrite, wipe, zero};
pub use xfs::XFS_RETRY_SECONDS;
