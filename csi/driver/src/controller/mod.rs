//! The Controller service: each call claims what it works on, then does its work on a thread that may wait.
//!
//! - `create`: volumes from nothing, from a snapshot, from a volume; the page with the states is there.
//! - `delete`: volumes and snapshots go.
//! - `snapshot`: snapshots are made.
//! - `list`: what there is, and how well it is.
//! - `expand`, `modify`, `capacity`, `validate`: as they say.

mod capacity;
pub(crate) mod create;
pub(crate) mod delete;
mod expand;
mod list;
mod modify;
pub(crate) mod snapshot;
mod validate;

use std::sync::Arc;

use fairlead_csi_spec::v1::controller_server::Controller;
use fairlead_csi_spec::v1::controller_service_capability::{Rpc, Type, rpc};
use fairlead_csi_spec::v1::{
    ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse,
    ControllerServiceCapability,
};
use fairlead_csi_volume::{Kind, VolumeId};

use crate::driver::{Driver, Shared, service};
use crate::error::DriverError;
use crate::groups::Found;
use crate::throttle;

/// What is served, whatever the node; volumes are attached to their node by nature.
const CAPABILITIES: &[rpc::Type] = &[
    rpc::Type::CreateDeleteVolume,
    rpc::Type::ListVolumes,
    rpc::Type::GetCapacity,
    rpc::Type::CreateDeleteSnapshot,
    rpc::Type::ListSnapshots,
    rpc::Type::CloneVolume,
    rpc::Type::ExpandVolume,
    rpc::Type::VolumeCondition,
    rpc::Type::GetVolume,
    rpc::Type::SingleNodeMultiWriter,
    rpc::Type::GetSnapshot,
    rpc::Type::GetVolumeHealth,
    rpc::Type::ListVolumeHealth,
];

/// What is there with an id, complete.
pub(crate) fn known(
    shared: &Shared,
    kind: Kind,
    id: Option<VolumeId>,
    text: &str,
) -> Result<Found, DriverError> {
    let found = match id {
        Some(id) => shared.groups.find(kind, &id)?.filter(Found::is_there),
        None => None,
    };
    found.ok_or_else(|| DriverError::NotFound {
        kind: match kind {
            Kind::Volume => "volume",
            Kind::Snapshot => "snapshot",
        },
        object: text.to_owned(),
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the form that all calls have"
)]
fn capabilities(
    _: &Arc<Shared>,
    _: &ControllerGetCapabilitiesRequest,
) -> Result<ControllerGetCapabilitiesResponse, DriverError> {
    let modify = throttle::is_supported().then_some(rpc::Type::ModifyVolume);
    let all = CAPABILITIES.iter().copied().chain(modify);
    Ok(ControllerGetCapabilitiesResponse {
        capabilities: all
            .map(|capability| ControllerServiceCapability {
                r#type: Some(Type::Rpc(Rpc {
                    r#type: capability.into(),
                })),
            })
            .collect(),
    })
}

fn not_served<Q, A>(_: &Arc<Shared>, _: &Q) -> Result<A, DriverError> {
    Err(DriverError::Unsupported {
        why: "volumes of this driver are on their node by nature: nothing attaches them".to_owned(),
    })
}

service!(Controller {
    create_volume(CreateVolumeRequest) -> CreateVolumeResponse = create::create;
    delete_volume(DeleteVolumeRequest) -> DeleteVolumeResponse = delete::volume;
    controller_publish_volume(ControllerPublishVolumeRequest)
        -> ControllerPublishVolumeResponse = not_served;
    controller_unpublish_volume(ControllerUnpublishVolumeRequest)
        -> ControllerUnpublishVolumeResponse = not_served;
    validate_volume_capabilities(ValidateVolumeCapabilitiesRequest)
        -> ValidateVolumeCapabilitiesResponse = validate::validate;
    list_volumes(ListVolumesRequest) -> ListVolumesResponse = list::volumes;
    controller_list_volume_health(ControllerListVolumeHealthRequest)
        -> ControllerListVolumeHealthResponse = list::volume_health;
    controller_get_volume_health(ControllerGetVolumeHealthRequest)
        -> ControllerGetVolumeHealthResponse = list::get_health;
    get_capacity(GetCapacityRequest) -> GetCapacityResponse = capacity::capacity;
    controller_get_capabilities(ControllerGetCapabilitiesRequest)
        -> ControllerGetCapabilitiesResponse = capabilities;
    create_snapshot(CreateSnapshotRequest) -> CreateSnapshotResponse = snapshot::create;
    delete_snapshot(DeleteSnapshotRequest) -> DeleteSnapshotResponse = delete::snapshot;
    list_snapshots(ListSnapshotsRequest) -> ListSnapshotsResponse = list::snapshots;
    get_snapshot(GetSnapshotRequest) -> GetSnapshotResponse = snapshot::get;
    controller_expand_volume(ControllerExpandVolumeRequest)
        -> ControllerExpandVolumeResponse = expand::expand;
    controller_get_volume(ControllerGetVolumeRequest)
        -> ControllerGetVolumeResponse = list::get;
    controller_modify_volume(ControllerModifyVolumeRequest)
        -> ControllerModifyVolumeResponse = modify::modify;
});
