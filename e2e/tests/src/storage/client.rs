//! A CO as far as a driver sees one: calls over its socket.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use fairlead_csi_spec::v1::controller_client::ControllerClient;
use fairlead_csi_spec::v1::identity_client::IdentityClient;
use fairlead_csi_spec::v1::node_client::NodeClient;
use fairlead_csi_spec::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use fairlead_csi_spec::v1::{
    self as csi, CapacityRange, VolumeCapability, VolumeContentSource, volume_capability,
};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::call::{Access, Answer, Call, Create, Place, Refused, Source, Told};
use super::{blocks, data, groups};

/// So long a CO waits before it calls again.
const DEADLINE: Duration = Duration::from_mins(2);
/// Entries in a page of a list, so that lists of tests have more than one.
const PAGE: i32 = 7;

/// A connection to a driver; it comes back by itself when the driver does.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    /// Connects to a socket when first needed.
    pub(crate) fn new(socket: &Path) -> Result<Self> {
        let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))
            .with_context(|| format!("the socket {}", socket.display()))?;
        Ok(Self {
            channel: endpoint.timeout(DEADLINE).connect_lazy(),
        })
    }

    /// Makes a call.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, Refused> {
        match call {
            Call::Write { place, part, seed } => local(data::write(place, *part, *seed)),
            Call::Check { place, part, seed } => local(data::check(place, *part, *seed)),
            Call::Fill {
                place,
                start,
                stride,
                from,
                most,
            } => data::fill(place, (*start, *stride), *from..from + most)
                .map_err(|it| refused_by_disk(&it)),
            Call::CheckFill {
                place,
                start,
                stride,
                strides,
            } => local(data::check_fill(place, (*start, *stride), *strides)),
            Call::Changed(changed) => blocks::changed(self.channel.clone(), changed.clone())
                .await
                .map_err(|it| refused(&it)),
            Call::Group(call) => groups::call(self.channel.clone(), call.clone())
                .await
                .map_err(|it| refused(&it)),
            Call::Probe
            | Call::Create(_)
            | Call::Modify { .. }
            | Call::Delete(_)
            | Call::Snapshot { .. }
            | Call::DeleteSnapshot(_)
            | Call::Expand { .. }
            | Call::Volumes
            | Call::Snapshots
            | Call::Page { .. }
            | Call::Capabilities
            | Call::Capacity(_) => self.controller(call).await.map_err(|it| refused(&it)),
            Call::NodeExpand { .. }
            | Call::Stage(_)
            | Call::Unstage(_)
            | Call::Publish(_)
            | Call::Unpublish(_)
            | Call::StorageHealth
            | Call::Stats(_) => self.node(call).await.map_err(|it| refused(&it)),
        }
    }

    async fn controller(&self, call: &Call) -> Result<Answer, Status> {
        let mut to = ControllerClient::new(self.channel.clone());
        Ok(match call.clone() {
            Call::Probe => {
                let probe = csi::ProbeRequest::default();
                let answer = IdentityClient::new(self.channel.clone())
                    .probe(probe)
                    .await?;
                Answer::Ready(answer.into_inner().ready.unwrap_or(true))
            }
            Call::Create(create) => {
                let answer = to.create_volume(request(create)).await?.into_inner();
                let volume = answer.volume.ok_or_else(|| Status::internal("no volume"))?;
                Answer::One(told(volume))
            }
            Call::Delete(volume_id) => {
                let request = csi::DeleteVolumeRequest {
                    volume_id,
                    ..Default::default()
                };
                to.delete_volume(request).await?;
                Answer::Done
            }
            Call::Expand { place, bytes } => {
                let request = csi::ControllerExpandVolumeRequest {
                    volume_capability: Some(capability(&place.access)),
                    volume_id: place.id,
                    capacity_range: Some(range(bytes)),
                    secrets: place.secrets,
                };
                let answer = to.controller_expand_volume(request).await?.into_inner();
                Answer::Bytes(answer.capacity_bytes, answer.node_expansion_required)
            }
            Call::Modify { volume, parameters } => {
                let request = csi::ControllerModifyVolumeRequest {
                    volume_id: volume,
                    mutable_parameters: parameters,
                    ..Default::default()
                };
                to.controller_modify_volume(request).await?;
                Answer::Done
            }
            Call::Volumes => Answer::All(volumes(&mut to).await?),
            Call::Capabilities => Answer::Names(capabilities(&mut to).await?),
            Call::Capacity(parameters) => {
                let request = csi::GetCapacityRequest {
                    parameters,
                    ..Default::default()
                };
                let answer = to.get_capacity(request).await?.into_inner();
                Answer::Capacity(answer.available_capacity, answer.maximum_volume_size)
            }
            other => self.snapshot(other).await?,
        })
    }

    async fn snapshot(&self, call: Call) -> Result<Answer, Status> {
        let mut to = ControllerClient::new(self.channel.clone());
        Ok(match call {
            Call::Snapshot {
                name,
                volume,
                parameters,
            } => {
                let request = csi::CreateSnapshotRequest {
                    source_volume_id: volume,
                    name,
                    parameters,
                    ..Default::default()
                };
                let answer = to.create_snapshot(request).await?.into_inner();
                Answer::One(snapshot(
                    answer
                        .snapshot
                        .ok_or_else(|| Status::internal("no snapshot"))?,
                ))
            }
            Call::DeleteSnapshot(snapshot_id) => {
                let request = csi::DeleteSnapshotRequest {
                    snapshot_id,
                    ..Default::default()
                };
                to.delete_snapshot(request).await?;
                Answer::Done
            }
            Call::Snapshots => Answer::All(snapshots(&mut to).await?),
            Call::Page {
                snapshots,
                token,
                most,
            } => page(&mut to, snapshots, token, most).await?,
            other => {
                return Err(Status::internal(format!(
                    "{other:?} is not for the controller"
                )));
            }
        })
    }

    async fn node(&self, call: &Call) -> Result<Answer, Status> {
        let mut to = NodeClient::new(self.channel.clone());
        Ok(match call.clone() {
            Call::Stage(place) => {
                std::fs::create_dir_all(&place.staging)?;
                let request = csi::NodeStageVolumeRequest {
                    volume_capability: Some(capability(&place.access)),
                    volume_id: place.id,
                    staging_target_path: place.staging,
                    secrets: place.secrets,
                    ..Default::default()
                };
                to.node_stage_volume(request).await?;
                Answer::Done
            }
            Call::Unstage(place) => {
                let request = csi::NodeUnstageVolumeRequest {
                    volume_id: place.id,
                    staging_target_path: place.staging,
                };
                to.node_unstage_volume(request).await?;
                Answer::Done
            }
            Call::Publish(place) => {
                if let Some(above) = Path::new(&place.target).parent() {
                    std::fs::create_dir_all(above)?;
                }
                let request = csi::NodePublishVolumeRequest {
                    volume_capability: Some(capability(&place.access)),
                    volume_id: place.id,
                    staging_target_path: place.staging,
                    target_path: place.target,
                    readonly: place.read_only,
                    secrets: place.secrets,
                    volume_context: place.context,
                    ..Default::default()
                };
                to.node_publish_volume(request).await?;
                Answer::Done
            }
            Call::Unpublish(place) => {
                let request = csi::NodeUnpublishVolumeRequest {
                    volume_id: place.id,
                    target_path: place.target,
                };
                to.node_unpublish_volume(request).await?;
                Answer::Done
            }
            Call::NodeExpand { place, bytes } => {
                let request = csi::NodeExpandVolumeRequest {
                    volume_capability: Some(capability(&place.access)),
                    volume_id: place.id,
                    volume_path: place.target,
                    capacity_range: Some(range(bytes)),
                    staging_target_path: place.staging,
                    secrets: place.secrets,
                };
                let answer = to.node_expand_volume(request).await?.into_inner();
                Answer::Bytes(answer.capacity_bytes, false)
            }
            Call::Stats(place) => stats(&mut to, place).await?,
            Call::StorageHealth => {
                let request = csi::NodeGetStorageHealthRequest::default();
                let answer = to.node_get_storage_health(request).await?.into_inner();
                let all = answer.backend_health.into_iter();
                Answer::Names(all.map(|it| it.reason).collect())
            }
            other => return Err(Status::internal(format!("{other:?} is not for the node"))),
        })
    }
}

async fn stats(to: &mut NodeClient<Channel>, place: Place) -> Result<Answer, Status> {
    let request = csi::NodeGetVolumeStatsRequest {
        volume_id: place.id,
        volume_path: place.target,
        staging_target_path: place.staging,
    };
    let answer = to.node_get_volume_stats(request).await?.into_inner();
    let bytes = answer
        .usage
        .into_iter()
        .find(|it| it.unit == csi::volume_usage::Unit::Bytes as i32);
    let bytes = bytes.unwrap_or_default();
    Ok(Answer::Stats {
        total: bytes.total,
        used: bytes.used,
        available: bytes.available,
        abnormal: condition(answer.volume_condition),
    })
}

async fn volumes(to: &mut ControllerClient<Channel>) -> Result<Vec<Told>, Status> {
    let mut all = Vec::new();
    let mut starting_token = String::new();
    loop {
        let request = csi::ListVolumesRequest {
            max_entries: PAGE,
            starting_token,
        };
        let page = to.list_volumes(request).await?.into_inner();
        for entry in page.entries {
            let abnormal = condition(entry.status.and_then(|it| it.volume_condition));
            all.extend(entry.volume.map(|volume| Told {
                abnormal,
                ..told(volume)
            }));
        }
        if page.next_token.is_empty() {
            return Ok(all);
        }
        starting_token = page.next_token;
    }
}

async fn snapshots(to: &mut ControllerClient<Channel>) -> Result<Vec<Told>, Status> {
    let mut all = Vec::new();
    let mut starting_token = String::new();
    loop {
        let request = csi::ListSnapshotsRequest {
            max_entries: PAGE,
            starting_token,
            ..Default::default()
        };
        let page = to.list_snapshots(request).await?.into_inner();
        all.extend(
            page.entries
                .into_iter()
                .filter_map(|it| it.snapshot)
                .map(snapshot),
        );
        if page.next_token.is_empty() {
            return Ok(all);
        }
        starting_token = page.next_token;
    }
}

async fn page(
    to: &mut ControllerClient<Channel>,
    snapshots: bool,
    starting_token: String,
    max_entries: i32,
) -> Result<Answer, Status> {
    if snapshots {
        let request = csi::ListSnapshotsRequest {
            max_entries,
            starting_token,
            ..Default::default()
        };
        let page = to.list_snapshots(request).await?.into_inner();
        let all = page.entries.into_iter().filter_map(|it| it.snapshot);
        return Ok(Answer::All(all.map(snapshot).collect()));
    }
    let request = csi::ListVolumesRequest {
        max_entries,
        starting_token,
    };
    let page = to.list_volumes(request).await?.into_inner();
    let all = page.entries.into_iter().filter_map(|it| it.volume);
    Ok(Answer::All(all.map(told).collect()))
}

async fn capabilities(to: &mut ControllerClient<Channel>) -> Result<Vec<String>, Status> {
    use csi::controller_service_capability::Type;
    let request = csi::ControllerGetCapabilitiesRequest::default();
    let answer = to.controller_get_capabilities(request).await?.into_inner();
    let all = answer.capabilities.into_iter().filter_map(|it| it.r#type);
    Ok(all
        .map(|Type::Rpc(rpc)| rpc.r#type().as_str_name().to_owned())
        .collect())
}

fn request(create: Create) -> csi::CreateVolumeRequest {
    let source = create.source.map(|source| VolumeContentSource {
        r#type: Some(match source {
            Source::Snapshot(snapshot_id) => Type::Snapshot(SnapshotSource { snapshot_id }),
            Source::Volume(volume_id) => Type::Volume(VolumeSource { volume_id }),
        }),
    });
    csi::CreateVolumeRequest {
        name: create.name,
        capacity_range: Some(CapacityRange {
            required_bytes: create.bytes,
            limit_bytes: create.limit,
        }),
        volume_capabilities: vec![capability(&create.access)],
        parameters: create.parameters,
        mutable_parameters: create.mutable,
        volume_content_source: source,
        ..Default::default()
    }
}

fn capability(access: &Access) -> VolumeCapability {
    use volume_capability::{AccessMode, AccessType, BlockVolume, MountVolume};
    VolumeCapability {
        access_mode: Some(AccessMode { mode: access.mode }),
        access_type: Some(if access.block {
            AccessType::Block(BlockVolume {})
        } else {
            AccessType::Mount(MountVolume {
                fs_type: access.fs.clone(),
                mount_flags: access.flags.clone(),
                ..Default::default()
            })
        }),
    }
}

fn range(bytes: u64) -> CapacityRange {
    CapacityRange {
        required_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        limit_bytes: 0,
    }
}

fn told(volume: csi::Volume) -> Told {
    let source = volume
        .content_source
        .and_then(|it| it.r#type)
        .map(|source| match source {
            Type::Snapshot(it) => it.snapshot_id,
            Type::Volume(it) => it.volume_id,
        });
    Told {
        id: volume.volume_id,
        bytes: volume.capacity_bytes,
        source,
        created: 0,
        ready: true,
        abnormal: None,
    }
}

pub(super) fn snapshot(snapshot: csi::Snapshot) -> Told {
    Told {
        id: snapshot.snapshot_id,
        bytes: snapshot.size_bytes,
        source: Some(snapshot.source_volume_id),
        created: snapshot.creation_time.map_or(0, |it| it.seconds),
        ready: snapshot.ready_to_use,
        abnormal: None,
    }
}

fn condition(condition: Option<csi::VolumeCondition>) -> Option<String> {
    condition.filter(|it| it.abnormal).map(|it| it.message)
}

fn local(done: std::io::Result<()>) -> Result<Answer, Refused> {
    done.map(|()| Answer::Done)
        .map_err(|error| refused_by_disk(&error))
}

fn refused_by_disk(error: &std::io::Error) -> Refused {
    Refused {
        code: "IO".to_owned(),
        message: error.to_string(),
    }
}

/// With the code as csi.proto and its documents write it. A connection that breaks is no answer of the driver's:
/// tonic says UNKNOWN, other libraries UNAVAILABLE.
fn refused(status: &Status) -> Refused {
    if std::error::Error::source(status).is_some() {
        return Refused {
            code: "UNAVAILABLE".to_owned(),
            message: format!("no answer: {}", status.message()),
        };
    }
    let mut code = String::new();
    for letter in format!("{:?}", status.code()).chars() {
        if letter.is_ascii_uppercase() && !code.is_empty() {
            code.push('_');
        }
        code.push(letter.to_ascii_uppercase());
    }
    Refused {
        code,
        message: status.message().to_owned(),
    }
}
