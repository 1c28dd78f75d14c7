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
use crate::error::Error;
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

pub(super) fn capabilities(
    _: &Arc<Shared>,
    _: &NodeGetCapabilitiesRequest,
) -> Result<NodeGetCapabilitiesResponse, Error> {
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

pub(super) fn info(
    shared: &Arc<Shared>,
    _: &NodeGetInfoRequest,
) -> Result<NodeGetInfoResponse, Error> {
    Ok(NodeGetInfoResponse {
        node_id: shared.config.node.clone(),
        max_volumes_per_node: limits::most(shared),
        accessible_topology: Some(here(&shared.config.node)),
    })
}

pub(super) fn storage_health(
    shared: &Arc<Shared>,
    _: &NodeGetStorageHealthRequest,
) -> Result<NodeGetStorageHealthResponse, Error> {
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
