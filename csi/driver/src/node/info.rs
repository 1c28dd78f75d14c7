//! The node: its name, its limits, and how well its disks are.

use std::sync::Arc;

use fairlead_csi_spec::v1::node_get_storage_health_response::StorageBackendHealth;
use fairlead_csi_spec::v1::node_service_capability::{Rpc, Type, rpc};
use fairlead_csi_spec::v1::{
    NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse, NodeGetInfoRequest,
    NodeGetInfoResponse, NodeGetStorageHealthRequest, NodeGetStorageHealthResponse,
    NodeServiceCapability, StorageHealthErrorType,
};

use crate::controller::create::here;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::{health, limits};

const CAPABILITIES: [rpc::Type; 7] = [
    rpc::Type::StageUnstageVolume,
    rpc::Type::GetVolumeStats,
    rpc::Type::ExpandVolume,
    rpc::Type::VolumeCondition,
    rpc::Type::SingleNodeMultiWriter,
    rpc::Type::GetVolumeHealth,
    rpc::Type::GetStorageHealth,
];

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the form that all calls have"
)]
pub(super) fn capabilities(
    _: &Arc<Shared>,
    _: &NodeGetCapabilitiesRequest,
) -> Result<NodeGetCapabilitiesResponse, DriverError> {
    Ok(NodeGetCapabilitiesResponse {
        capabilities: CAPABILITIES
            .into_iter()
            .map(|capability| NodeServiceCapability {
                r#type: Some(Type::Rpc(Rpc {
                    r#type: capability.into(),
                })),
            })
            .collect(),
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the form that all calls have"
)]
pub(super) fn info(
    shared: &Arc<Shared>,
    _: &NodeGetInfoRequest,
) -> Result<NodeGetInfoResponse, DriverError> {
    Ok(NodeGetInfoResponse {
        node_id: shared.config.node.clone(),
        max_volumes_per_node: limits::most(shared),
        accessible_topology: Some(here(&shared.config.node)),
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the form that all calls have")]
pub(super) fn storage_health(
    shared: &Arc<Shared>,
    _: &NodeGetStorageHealthRequest,
) -> Result<NodeGetStorageHealthResponse, DriverError> {
    let findings = health::storage(shared);
    Ok(NodeGetStorageHealthResponse {
        backend_health: findings
            .into_iter()
            .map(|finding| StorageBackendHealth {
                status: if finding.unreachable {
                    StorageHealthErrorType::StorageUnreachable.into()
                } else {
                    StorageHealthErrorType::StorageDegraded.into()
                },
                reason: finding.reason,
                message: finding.message,
                volume_capability: None,
            })
            .collect(),
    })
}
