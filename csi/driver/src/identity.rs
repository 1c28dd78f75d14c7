//! The Identity service: who answers, and what it can do.

use fairlead_csi_spec::v1::identity_server::Identity;
use fairlead_csi_spec::v1::plugin_capability::service::Type as Service;
use fairlead_csi_spec::v1::plugin_capability::volume_expansion::Type as Expansion;
use fairlead_csi_spec::v1::plugin_capability::{self, Type};
use fairlead_csi_spec::v1::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
    GetPluginInfoResponse, PluginCapability, ProbeRequest, ProbeResponse,
};
use tonic::{Request, Response, Status};

use crate::driver::Driver;

/// The name that Kubernetes objects carry, for ever.
pub const NAME: &str = "lvm.fairlead.io";

#[tonic::async_trait]
impl Identity for Driver {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: NAME.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        let services = [
            Service::ControllerService,
            Service::VolumeAccessibilityConstraints,
            Service::SnapshotMetadataService,
            Service::GroupControllerService,
        ];
        let services = services.into_iter().map(|service| {
            Type::Service(plugin_capability::Service {
                r#type: service.into(),
            })
        });
        let expansion = Type::VolumeExpansion(plugin_capability::VolumeExpansion {
            r#type: Expansion::Online.into(),
        });
        Ok(Response::new(GetPluginCapabilitiesResponse {
            capabilities: services
                .chain([expansion])
                .map(|r#type| PluginCapability {
                    r#type: Some(r#type),
                })
                .collect(),
        }))
    }

    /// Ready once the lock is held and what an earlier process left half-made is known.
    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse {
            ready: Some(self.is_ready()),
        }))
    }
}
