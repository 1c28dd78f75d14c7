//! `NodeStageVolume` and its reverse: from an inactive logical volume to a mounted file system or an open
//! device, and back.
//!
//! Every call goes the whole way and leaves out what is done: a crash anywhere is followed by the same call.
//!
//! | step                     | state it leaves                         | left out when                        |
//! |--------------------------|-----------------------------------------|--------------------------------------|
//! | `lvchange -ay -K`        | active                                  | it is active                         |
//! | tag `fl.fs=begun`        | what mkfs or luksFormat leaves is ours  | it says so, or formatted             |
//! | LUKS: format, open       | mapping `fl-luks-<lv>`                  | `fl.fs` says formatted; it is open   |
//! | mkfs                     | a file system with the UUID of this LV  | `fl.fs` says formatted; a probe that finds anything but our own interrupted mkfs refuses |
//! | copy of ext4, btrfs: replay, new UUID | a file system with a UUID of its own | `fl.fs` has no `!`         |
//! | tag `fl.fs=<type>`/`raw` | never formatted again                   | it says so                           |
//! | mount                    | at the staging path                     | mountinfo has it there               |
//! | raw block: bind          | the LV's node in the staging path       | mountinfo has it there               |
//! | grow                     | file system as large as its device      | it is                                |
//! | limits                   | `io.max`                                | none are set                         |
//!
//! All but the first and the last are csi/mount's. A volume that fails on the way is deactivated again.
//!
//! Raw block volumes are not open while they are staged. The bind of their node tells them from those that a driver
//! had activated for itself when it died: these are nobody's, and deactivated ([`is_idle`]).

use std::path::Path;
use std::sync::Arc;

use fairlead_csi_lvm::{Command, Layout, Lvm};
use fairlead_csi_mount::{
    self as mount, Access as StageAccess, DeviceNumber, Formatted, FsType, Key, MkfsOptions,
    MountOptions, Mounts, Stage,
};
use fairlead_csi_spec::v1::{
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnstageVolumeRequest,
    NodeUnstageVolumeResponse,
};
use fairlead_csi_volume::{Access, AccessKind, Encryption, Fs, FsState, Kind, LvUuid, Record};

use crate::controller::delete::retag;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::{controller, pool, request, throttle};

/// The file in the staging path of a raw block volume that its node is bound to.
const NODE: &str = "device";
/// The key in a call's secrets that opens an encrypted volume.
const PASSPHRASE: &str = "passphrase";

pub(super) fn stage(
    shared: &Arc<Shared>,
    request: &NodeStageVolumeRequest,
) -> Result<NodeStageVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let path = request::path("staging_target_path", &request.staging_target_path)?;
    let access = request::access(request.volume_capability.as_ref())?;
    let _claim = shared.inflight.claim("volume", &request.volume_id)?;
    let found = controller::known(shared, Kind::Volume, id, &request.volume_id)?;
    let key = key(&request.secrets)?;
    let was_active = activate(shared, &found)?;
    let staged = not_otherwise(&found, &access, path, was_active)
        .and_then(|()| mounted(shared, &found, &access, key.as_ref(), path))
        .and_then(|()| throttle::apply(shared, &found, &found.record.limits));
    if let Err(error) = staged {
        if !was_active {
            quietly_deactivate(shared, &found);
        }
        return Err(error);
    }
    Ok(NodeStageVolumeResponse {})
}

/// What is staged is not staged otherwise (spec.md, `NodeStageVolume`): csi/mount compares file systems and their
/// options, this the kinds.
fn not_otherwise(
    found: &Found,
    access: &Access,
    path: &Path,
    was_active: bool,
) -> Result<(), DriverError> {
    let (staged, asked) = if access.is_mount() {
        let raw = was_active && found.record.fs == FsState::Raw;
        (raw, "a block device, a file system")
    } else {
        let mounted = Mounts::read()?.at(path).is_some();
        (mounted, "a file system, a block device")
    };
    if !staged {
        return Ok(());
    }
    Err(DriverError::Exists {
        kind: "volume",
        object: format!("{} at {}", found.id(), path.display()),
        differs: format!("it is staged as {asked} is asked"),
    })
}

/// Makes it active; says whether it was.
pub(crate) fn activate(shared: &Shared, found: &Found) -> Result<bool, DriverError> {
    if shared.lvm.status(found.vg(), found.lv())?.active {
        return Ok(true);
    }
    if let Layout::Thin { pool, .. } = &found.lv().layout
        && let Some(pool) = found.vg().lv_named(pool)
    {
        pool::revive(shared, found.vg(), pool)?;
    }
    let lv = found.lv().uuid;
    shared
        .lvm
        .run(&found.vg().uuid, &Command::Activate { lv })?;
    Ok(false)
}

/// After a failure: what was activated for nothing. It stays active when that fails, which harms nobody.
fn quietly_deactivate(shared: &Shared, found: &Found) {
    let lv = found.lv().uuid;
    if let Err(error) = shared
        .lvm
        .run(&found.vg().uuid, &Command::Deactivate { lv })
    {
        tracing::warn!(volume = %found.id(), "stays active: {error}");
    }
}

/// The key of an encrypted volume, where the call brings one.
pub(crate) fn key(
    secrets: &std::collections::BTreeMap<String, String>,
) -> Result<Option<Key>, DriverError> {
    let Some(secret) = secrets.get(PASSPHRASE) else {
        return Ok(None);
    };
    Ok(Some(Key::new(secret.clone().into_bytes())?))
}

/// The key to use: the class says whether a volume is encrypted, not the call.
fn needed(encryption: Encryption, key: Option<&Key>) -> Result<Option<&Key>, DriverError> {
    match (encryption, key) {
        (Encryption::None, _) => Ok(None),
        (Encryption::Luks2, Some(key)) => Ok(Some(key)),
        (Encryption::Luks2, None) => Err(DriverError::invalid(
            "secrets",
            format!("without {PASSPHRASE}"),
            "the volume is encrypted, its key is needed",
        )),
    }
}

/// csi/mount's part.
pub(crate) fn mounted(
    shared: &Shared,
    found: &Found,
    access: &Access,
    key: Option<&Key>,
    path: &Path,
) -> Result<(), DriverError> {
    let key = needed(found.record.parameters.encryption, key)?;
    let device = found.vg().device(found.lv());
    let lv = found.lv().uuid.to_string();
    let mut record = |state: Formatted| {
        let record = Record {
            fs: recorded(state)?,
            ..(*found.record).clone()
        };
        retag(shared, found, &record).map_err(Into::into)
    };
    let mut go = |access: StageAccess<'_>| {
        let stage = Stage {
            device: &device,
            lv: &lv,
            state: state(found.record.fs)?,
            key,
            access,
        };
        mount::stage(&shared.tools, &stage, &mut record)?;
        Ok(())
    };
    let AccessKind::Mount { flags, .. } = &access.kind else {
        go(StageAccess::Block)?;
        mount::publish_block(&device, &path.join(NODE), false)?;
        return Ok(());
    };
    let fs = fs_type(file_system(&found.record, access))?;
    let mkfs = MkfsOptions::parse(fs, &found.record.parameters.mkfs_options.join(" "))?;
    let mut options = MountOptions::parse(flags)?;
    options.read_only |= access.mode.is_read_only();
    go(StageAccess::Mount {
        fs,
        mkfs: &mkfs,
        options: &options,
        target: path,
    })
}

/// The file system that is there, that the class names, or that the call asks for.
fn file_system(record: &Record, access: &Access) -> Fs {
    let asked = access.fs().or(record.parameters.fs);
    match record.fs {
        FsState::Formatted(fs) | FsState::Inherited(fs) => access.fs().unwrap_or(fs),
        FsState::Never | FsState::Begun | FsState::Raw => asked.unwrap_or(Fs::Ext4),
    }
}

fn fs_type(fs: Fs) -> Result<FsType, DriverError> {
    Ok(fs.as_str().parse()?)
}

fn state(state: FsState) -> Result<Formatted, DriverError> {
    Ok(match state {
        FsState::Never => Formatted::Never,
        FsState::Begun => Formatted::Begun,
        FsState::Raw => Formatted::Raw,
        FsState::Formatted(fs) => Formatted::As(fs_type(fs)?),
        FsState::Inherited(fs) => Formatted::Copied(fs_type(fs)?),
    })
}

fn recorded(state: Formatted) -> Result<FsState, DriverError> {
    let fs = |fs: FsType| {
        let name = fs.to_string();
        Fs::from_name(&name).ok_or_else(|| DriverError::internal(format!("{name} is not known")))
    };
    Ok(match state {
        Formatted::Never => FsState::Never,
        Formatted::Begun => FsState::Begun,
        Formatted::Raw => FsState::Raw,
        Formatted::As(of) => FsState::Formatted(fs(of)?),
        Formatted::Copied(of) => FsState::Inherited(fs(of)?),
    })
}

pub(super) fn unstage(
    shared: &Arc<Shared>,
    request: &NodeUnstageVolumeRequest,
) -> Result<NodeUnstageVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let path = request::path("staging_target_path", &request.staging_target_path)?;
    let Some(id) = id else {
        return Ok(NodeUnstageVolumeResponse {});
    };
    let _claim = shared.inflight.claim("volume", &request.volume_id)?;
    unmounted(shared, &id.lv, path)?;
    match shared.groups.find(Kind::Volume, &id) {
        Ok(Some(found)) => deactivate(shared, &found)?,
        Ok(None) => {}
        // It is unmounted, which is all that a pod's end needs: a disk that is gone must not hold it up.
        Err(error) => tracing::warn!(volume = %id, "unstaged, but not deactivated: {error}"),
    }
    Ok(NodeUnstageVolumeResponse {})
}

/// The reverse of [`mounted`].
pub(crate) fn unmounted(shared: &Shared, lv: &LvUuid, path: &Path) -> Result<(), DriverError> {
    mount::unpublish(&path.join(NODE))?;
    Ok(mount::unstage(&shared.tools, lv.as_str(), Some(path))?)
}

/// Whether a path is where the node of a volume that is staged at `staging` is bound to.
pub(super) fn is_staged_node(path: &Path, staging: &Path) -> bool {
    path.strip_prefix(staging)
        .is_ok_and(|rest| rest == Path::new(NODE))
}

/// Whether a volume is active for nobody: it is neither open nor shown to anybody as a device. To be asked while
/// nobody else may stage it.
pub(crate) fn is_idle(lvm: &Lvm, found: &Found) -> Result<bool, DriverError> {
    let status = lvm.status(found.vg(), found.lv())?;
    let Some((major, minor)) = status.number.filter(|_| status.active && status.open == 0) else {
        return Ok(false);
    };
    let mounts = Mounts::read()?;
    let shown = mounts
        .of_node(DeviceNumber { major, minor })
        .next()
        .is_some();
    Ok(!shown)
}

/// Makes it inactive when nobody uses it.
pub(crate) fn deactivate(shared: &Shared, found: &Found) -> Result<(), DriverError> {
    let status = shared.lvm.status(found.vg(), found.lv())?;
    if status.active {
        let lv = found.lv().uuid;
        shared
            .lvm
            .run(&found.vg().uuid, &Command::Deactivate { lv })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_says_whether_a_volume_is_encrypted_not_the_call() {
        let key = Key::new(b"x".to_vec()).unwrap();
        assert!(needed(Encryption::None, None).unwrap().is_none());
        assert!(needed(Encryption::None, Some(&key)).unwrap().is_none());
        assert!(needed(Encryption::Luks2, Some(&key)).unwrap().is_some());
        let error = needed(Encryption::Luks2, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "secrets is without passphrase; the volume is encrypted, its key is needed"
        );
        let status = tonic::Status::from(error);
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
    }
}
