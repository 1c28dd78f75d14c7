//! `NodePublishVolume` and its reverse: a bind mount of what is staged.
//!
//! What a second call means is decided by what the mount table has, by the specification's tables: the same
//! target with the same arguments is done, with others `ALREADY_EXISTS`; another target is
//! `FAILED_PRECONDITION` unless the access mode allows several.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairlead_csi_mount::{
    DeviceNumber, MountOptions, Mounts, device_number, is_luks_open, publish_block, publish_mount,
    set_read_only, unpublish as unmount,
};
use fairlead_csi_spec::v1::{
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeUnpublishVolumeRequest,
    NodeUnpublishVolumeResponse,
};
use fairlead_csi_volume::publish::{Call, Verdict, verdict};
use fairlead_csi_volume::{Access, AccessKind, Encryption, Kind};

use super::stage::is_staged_node;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::{controller, ephemeral, request};

pub(super) fn publish(
    shared: &Arc<Shared>,
    request: &NodePublishVolumeRequest,
) -> Result<NodePublishVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let target = request::path("target_path", &request.target_path)?;
    let access = request::access(request.volume_capability.as_ref())?;
    let _claim = shared.inflight.claim("volume", &request.volume_id)?;
    if ephemeral::asked(&request.volume_context) {
        ephemeral::publish(shared, request, &access, target)?;
        return Ok(NodePublishVolumeResponse {});
    }
    if request.staging_target_path.is_empty() {
        return Err(DriverError::precondition(
            "staging_target_path is missing: volumes of this driver are staged first",
        ));
    }
    let staging = request::path("staging_target_path", &request.staging_target_path)?;
    let found = controller::known(shared, Kind::Volume, id, &request.volume_id)?;
    bind(shared, &found, &access, request.readonly, (staging, target))?;
    Ok(NodePublishVolumeResponse {})
}

/// Binds a staged volume to `target`.
pub(crate) fn bind(
    shared: &Shared,
    found: &Found,
    access: &Access,
    read_only: bool,
    (staging, target): (&Path, &Path),
) -> Result<(), DriverError> {
    let device = device(shared, found)?;
    let number = device_number(&device)?;
    let mounts = Mounts::read()?;
    let (staging, target) = (&in_kernel(staging), &in_kernel(target));
    let read_only = read_only || access.mode.is_read_only();
    let staged = mounts
        .of_device(number)
        .any(|it| it.mount_point == *staging);
    if access.is_mount() && !staged {
        return Err(DriverError::precondition(format!(
            "volume {} is not staged at {}: stage it first",
            found.id(),
            staging.display()
        )));
    }
    let standing = standing(&mounts, number, staging);
    let call = Call {
        path: target.display().to_string(),
        arguments: (access.is_mount(), read_only),
    };
    let nobody_writes = read_only && standing.iter().all(|it| it.arguments.1);
    match verdict(access.mode, &standing, &call) {
        Verdict::Same => return Ok(()),
        Verdict::New => {}
        Verdict::Differs => {
            return Err(DriverError::Exists {
                kind: "volume",
                object: format!("{} at {}", found.id(), target.display()),
                differs: format!("kind or read-only flag ({read_only} is asked)"),
            });
        }
        Verdict::Occupied => {
            let places: Vec<_> = standing.into_iter().map(|it| it.path).collect();
            return Err(DriverError::precondition(format!(
                "volume {} is published at {}, and its access mode allows one place",
                found.id(),
                places.join(", ")
            )));
        }
    }
    match &access.kind {
        AccessKind::Mount { flags, .. } => {
            publish_mount(staging, target, read_only, &MountOptions::parse(flags)?)?;
        }
        AccessKind::Block => {
            set_read_only(&device, nobody_writes)?;
            publish_block(&device, target, read_only)?;
        }
    }
    Ok(())
}

/// The path as the kernel tells it: without links in its folders.
fn in_kernel(path: &Path) -> PathBuf {
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

/// What is on top of the active logical volume: itself, or its opened LUKS mapping.
fn device(shared: &Shared, found: &Found) -> Result<PathBuf, DriverError> {
    let not_staged = || {
        DriverError::precondition(format!(
            "volume {} is not staged on this node: stage it first",
            found.id()
        ))
    };
    if !shared.lvm.status(found.vg(), found.lv())?.active {
        return Err(not_staged());
    }
    match found.record.parameters.encryption {
        Encryption::None => Ok(found.vg().device(found.lv())),
        Encryption::Luks2 => is_luks_open(found.lv().uuid.as_str())?.ok_or_else(not_staged),
    }
}

/// Where the volume is published: binds of its file system beside the staging path, and of its node.
fn standing(mounts: &Mounts, number: DeviceNumber, staging: &Path) -> Vec<Call<(bool, bool)>> {
    let files = mounts
        .of_device(number)
        .filter(|it| it.mount_point != staging)
        .map(|it| (it, true));
    let nodes = mounts
        .of_node(number)
        .filter(|it| !is_staged_node(&it.mount_point, staging))
        .map(|it| (it, false));
    files
        .chain(nodes)
        .map(|(entry, is_mount)| Call {
            path: entry.mount_point.display().to_string(),
            arguments: (is_mount, entry.read_only()),
        })
        .collect()
}

pub(super) fn unpublish(
    shared: &Arc<Shared>,
    request: &NodeUnpublishVolumeRequest,
) -> Result<NodeUnpublishVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let target = request::path("target_path", &request.target_path)?;
    let _claim = shared.inflight.claim("volume", &request.volume_id)?;
    unmount(target)?;
    if id.is_none() {
        ephemeral::remove(shared, &request.volume_id)?;
    }
    Ok(NodeUnpublishVolumeResponse {})
}
