//! `ControllerExpandVolume`: the logical volume grows, here and now; its file system follows on the node.

use std::sync::Arc;

use fairlead_csi_lvm::Layout;
use fairlead_csi_spec::v1::{ControllerExpandVolumeRequest, ControllerExpandVolumeResponse};
use fairlead_csi_volume::{Encryption, FsState, Kind, Rules};

use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::{place, request, thick};

pub(super) fn expand(
    shared: &Arc<Shared>,
    request: &ControllerExpandVolumeRequest,
) -> Result<ControllerExpandVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let Some(range) = request.capacity_range else {
        return Err(DriverError::Missing {
            field: "capacity_range",
        });
    };
    let range = request::range(Some(range))?;
    let access = match &request.volume_capability {
        None => None,
        some => Some(request::access(some.as_ref())?),
    };
    let _claim = shared.inflight.claim("volume", &request.volume_id)?;
    let found = super::known(shared, Kind::Volume, id, &request.volume_id)?;
    let bytes = found.bytes();
    // Never smaller: what it has already counts as asked.
    let chosen = range.choose(&Rules {
        extent: found.vg().extent_size,
        granularity: found.record.parameters.layout.granularity(),
        fs: found.record.parameters.fs,
        header: place::header(&found.record.parameters),
        source: bytes,
    })?;
    let grown = if chosen.bytes <= bytes {
        found
    } else {
        extend(shared, &found, chosen.extents)?
    };
    let raw = grown.record.fs == FsState::Raw || access.is_some_and(|it| !it.is_mount());
    let encrypted = grown.record.parameters.encryption == Encryption::Luks2;
    Ok(ControllerExpandVolumeResponse {
        capacity_bytes: request::signed(grown.bytes()),
        node_expansion_required: !raw || encrypted,
    })
}

fn extend(shared: &Shared, found: &Found, extents: u64) -> Result<Found, DriverError> {
    let snapshots: Vec<_> = found.vg().cow_snapshots_of(&found.lv().name).collect();
    if !snapshots.is_empty() && shared.lvm.status(found.vg(), found.lv())?.active {
        return Err(DriverError::precondition(format!(
            "volume {} has copy-on-write snapshots: LVM grows it only while it is not staged, or \
             without them",
            found.id()
        )));
    }
    match found.lv().layout {
        Layout::Thin { .. } => super::create::grow(shared, found, extents),
        _ => thick::grow(shared, found, extents),
    }
}
