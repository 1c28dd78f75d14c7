//! Figures, health and growth of one volume on this node.

use std::path::Path;
use std::sync::Arc;

use fairlead_csi_mount::{self as mount, Mounts, device_size, is_block};
use fairlead_csi_spec::v1::volume_usage::Unit;
use fairlead_csi_spec::v1::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetVolumeHealthRequest,
    NodeGetVolumeHealthResponse, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse,
    VolumeUsage,
};
use fairlead_csi_volume::Kind;

use super::stage;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::health::{self, Health};
use crate::{controller, request};

/// What is at a path where a volume should be.
enum Place {
    Block,
    Mount,
}

fn place(path: &Path) -> Result<Place, DriverError> {
    let missing = || DriverError::NotFound {
        kind: "volume at path",
        object: path.display().to_string(),
    };
    if std::fs::symlink_metadata(path).is_err() {
        return Err(missing());
    }
    if is_block(path)? {
        return Ok(Place::Block);
    }
    match Mounts::read()?.at(path) {
        Some(_) => Ok(Place::Mount),
        None => Err(missing()),
    }
}

pub(super) fn stats(
    shared: &Arc<Shared>,
    request: &NodeGetVolumeStatsRequest,
) -> Result<NodeGetVolumeStatsResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let path = request::volume_path(&request.volume_path)?;
    let found = controller::known(shared, Kind::Volume, id, &request.volume_id)?;
    let usage = match place(path)? {
        Place::Block => vec![VolumeUsage {
            total: request::signed(device_size(path)?),
            unit: Unit::Bytes.into(),
            ..Default::default()
        }],
        Place::Mount => {
            let stats = mount::stats(path)?;
            let usage = |usage: mount::Usage, unit: Unit| VolumeUsage {
                total: request::signed(usage.total),
                used: request::signed(usage.used),
                available: request::signed(usage.available),
                unit: unit.into(),
            };
            vec![
                usage(stats.bytes, Unit::Bytes),
                usage(stats.inodes, Unit::Inodes),
            ]
        }
    };
    Ok(NodeGetVolumeStatsResponse {
        usage,
        volume_condition: Some(health::condition(&Health::new(shared).of(&found))),
    })
}

pub(super) fn health(
    shared: &Arc<Shared>,
    request: &NodeGetVolumeHealthRequest,
) -> Result<NodeGetVolumeHealthResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let found = controller::known(shared, Kind::Volume, id, &request.volume_id)?;
    let findings = Health::new(shared).of(&found);
    Ok(NodeGetVolumeHealthResponse {
        volume_health: Some(health::message(request.volume_id.clone(), findings)),
    })
}

/// The file system grows to its device, which `ControllerExpandVolume` has grown.
pub(super) fn expand(
    shared: &Arc<Shared>,
    request: &NodeExpandVolumeRequest,
) -> Result<NodeExpandVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let path = request::volume_path(&request.volume_path)?;
    let range = request::range(request.capacity_range)?;
    let _claim = shared.inflight.claim("volume", &request.volume_id)?;
    let found = controller::known(shared, Kind::Volume, id, &request.volume_id)?;
    let mounted = match place(path)? {
        Place::Block => None,
        Place::Mount => Some(path),
    };
    if found.bytes() < range.required() {
        return Err(DriverError::precondition(format!(
            "volume {} has {} bytes, {} are asked: ControllerExpandVolume grows it first",
            found.id(),
            found.bytes(),
            range.required()
        )));
    }
    let key = stage::key(&request.secrets)?;
    let device = found.vg().device(found.lv());
    mount::grow(
        &shared.tools,
        &device,
        found.lv().uuid.as_str(),
        mounted,
        key.as_ref(),
    )?;
    Ok(NodeExpandVolumeResponse {
        capacity_bytes: request::signed(found.bytes()),
    })
}
