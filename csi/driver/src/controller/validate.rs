//! `ValidateVolumeCapabilities`: whether a volume can be used as asked.

use std::sync::Arc;

use fairlead_csi_spec::v1::validate_volume_capabilities_response::Confirmed;
use fairlead_csi_spec::v1::{
    ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse,
};
use fairlead_csi_volume::{Access, FsState, Kind, Parameters};

use crate::driver::Shared;
use crate::error::DriverError;
use crate::request;

pub(super) fn validate(
    shared: &Arc<Shared>,
    request: &ValidateVolumeCapabilitiesRequest,
) -> Result<ValidateVolumeCapabilitiesResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    if request.volume_capabilities.is_empty() {
        return Err(DriverError::Missing {
            field: "volume_capabilities",
        });
    }
    let found = super::known(shared, Kind::Volume, id, &request.volume_id)?;
    let refused = |message: String| ValidateVolumeCapabilitiesResponse {
        confirmed: None,
        message,
    };
    let accesses = match request::accesses(&request.volume_capabilities) {
        Ok(accesses) => accesses,
        Err(error) => return Ok(refused(error.to_string())),
    };
    if let FsState::Formatted(fs) | FsState::Inherited(fs) = found.record.fs {
        let other = accesses.iter().filter_map(Access::fs).find(|it| *it != fs);
        if let Some(other) = other {
            return Ok(refused(format!("the volume has {fs}, not {other}")));
        }
    }
    if !request.parameters.is_empty() {
        let parameters = Parameters::parse(&request.parameters)
            .and_then(|parameters| parameters.for_accesses(&accesses));
        match parameters {
            Ok(parameters) if parameters == found.record.parameters => {}
            Ok(_) => return Ok(refused("the volume has other parameters".to_owned())),
            Err(error) => return Ok(refused(error.to_string())),
        }
    }
    Ok(ValidateVolumeCapabilitiesResponse {
        confirmed: Some(Confirmed {
            volume_context: request.volume_context.clone(),
            volume_capabilities: request.volume_capabilities.clone(),
            parameters: request.parameters.clone(),
            mutable_parameters: request.mutable_parameters.clone(),
        }),
        message: String::new(),
    })
}
