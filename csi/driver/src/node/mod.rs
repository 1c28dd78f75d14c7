//! The Node service.
//!
//! - `stage`: activation, format, mount, and their reverse; the page with the states is there.
//! - `publish`: a staged volume at a pod's path, and its end.
//! - `volume`: figures, health and growth of a staged volume.
//! - `info`: the node itself.

mod info;
mod publish;
mod stage;
mod volume;

use fairlead_csi_spec::v1::node_server::Node;

use crate::driver::{Driver, service};
pub(crate) use publish::bind;
pub(crate) use stage::{activate, deactivate, is_idle, key, mounted, unmounted};

service!(Node {
    node_stage_volume(NodeStageVolumeRequest) -> NodeStageVolumeResponse = stage::stage;
    node_unstage_volume(NodeUnstageVolumeRequest) -> NodeUnstageVolumeResponse = stage::unstage;
    node_publish_volume(NodePublishVolumeRequest) -> NodePublishVolumeResponse = publish::publish;
    node_unpublish_volume(NodeUnpublishVolumeRequest)
        -> NodeUnpublishVolumeResponse = publish::unpublish;
    node_get_volume_stats(NodeGetVolumeStatsRequest)
        -> NodeGetVolumeStatsResponse = volume::stats;
    node_get_volume_health(NodeGetVolumeHealthRequest)
        -> NodeGetVolumeHealthResponse = volume::health;
    node_get_storage_health(NodeGetStorageHealthRequest)
        -> NodeGetStorageHealthResponse = info::storage_health;
    node_expand_volume(NodeExpandVolumeRequest) -> NodeExpandVolumeResponse = volume::expand;
    node_get_capabilities(NodeGetCapabilitiesRequest)
        -> NodeGetCapabilitiesResponse = info::capabilities;
    node_get_info(NodeGetInfoRequest) -> NodeGetInfoResponse = info::info;
});
