//! `ControllerModifyVolume`: limits of I/O, kept in a tag and applied where the volume is staged.

use std::sync::Arc;

use fairlead_csi_spec::v1::{ControllerModifyVolumeRequest, ControllerModifyVolumeResponse};
use fairlead_csi_volume::{Change, Kind, Record};

use super::delete::retag;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::{request, throttle};

/// That limits can be applied on this node.
pub(super) fn supported() -> Result<(), DriverError> {
    if throttle::is_supported() {
        return Ok(());
    }
    Err(DriverError::invalid(
        "mutable_parameters",
        "set",
        "limits of I/O need cgroup v2 with the io controller, which this node has not",
    ))
}

pub(super) fn modify(
    shared: &Arc<Shared>,
    request: &ControllerModifyVolumeRequest,
) -> Result<ControllerModifyVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    if !throttle::is_supported() {
        let why = "limits of I/O need cgroup v2 with the io controller, which this node has not";
        return Err(DriverError::Unsupported {
            why: why.to_owned(),
        });
    }
    let change = Change::parse(&request.mutable_parameters)?;
    let _claim = shared.inflight.claim("volume", &request.volume_id)?;
    let found = super::known(shared, Kind::Volume, id, &request.volume_id)?;
    let record = Record {
        limits: change.apply(found.record.limits),
        ..(*found.record).clone()
    };
    retag(shared, &found, &record)?;
    throttle::apply(shared, &found, &record.limits)?;
    Ok(ControllerModifyVolumeResponse {})
}
