//! The driver's socket, for one call at a time or many at once.

use anyhow::{Context as _, Result};
use fairlead_csi_spec::v1::controller_client::ControllerClient;
use fairlead_csi_spec::v1::identity_client::IdentityClient;
use fairlead_csi_spec::v1::volume_capability::{AccessMode, AccessType, BlockVolume, access_mode};
use fairlead_csi_spec::v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use fairlead_csi_spec::v1::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerGetVolumeHealthRequest,
    ControllerListVolumeHealthRequest, CreateSnapshotRequest, CreateVolumeRequest,
    DeleteSnapshotRequest, DeleteVolumeRequest, GetCapacityRequest, ListVolumesRequest,
    ProbeRequest, VolumeCapability, VolumeContentSource,
};
use fairlead_e2e_tests::storage::SOCKET;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

/// The longest list that the bench asks for, in bytes of its message.
const LONGEST: usize = 64 << 20;

/// What a volume begins with.
#[derive(Debug, Clone)]
pub(super) enum From {
    /// Nothing.
    Nothing,
    /// The snapshot with this id.
    Snapshot(String),
    /// The volume with this id.
    Volume(String),
}

/// A connection, and the runtime that it lives in.
#[derive(Debug)]
pub(super) struct Client {
    runtime: Runtime,
    controller: ControllerClient<Channel>,
    identity: IdentityClient<Channel>,
}

impl Client {
    pub(super) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let channel = {
            let _inside = runtime.enter();
            Endpoint::from_shared(format!("unix:{SOCKET}"))?.connect_lazy()
        };
        let controller = ControllerClient::new(channel.clone()).max_decoding_message_size(LONGEST);
        Ok(Self {
            runtime,
            controller,
            identity: IdentityClient::new(channel),
        })
    }

    pub(super) fn ready(&self) -> bool {
        let mut to = self.identity.clone();
        let answer = self.runtime.block_on(to.probe(ProbeRequest::default()));
        answer.is_ok_and(|answer| answer.into_inner().ready.unwrap_or(true))
    }

    /// Makes a volume for raw block; the result is its id.
    pub(super) fn create(&self, name: &str, bytes: u64, thin: bool, from: &From) -> Result<String> {
        self.send(request(name, bytes, thin, from))
    }

    /// Makes a thin volume of a device class.
    pub(super) fn create_in(
        &self,
        class: &str,
        name: &str,
        bytes: u64,
        from: &From,
    ) -> Result<String> {
        let mut request = request(name, bytes, true, from);
        let class = ("class".to_owned(), class.to_owned());
        request.parameters.extend([class]);
        self.send(request)
    }

    fn send(&self, request: CreateVolumeRequest) -> Result<String> {
        let answer = self
            .runtime
            .block_on(self.controller.clone().create_volume(request))?;
        let volume = answer.into_inner().volume;
        Ok(volume.context("an answer without volume")?.volume_id)
    }

    /// Makes thin volumes with these names at once; the result are their ids and how long each took.
    pub(super) fn create_at_once(
        &self,
        names: &[String],
        bytes: u64,
    ) -> Result<Vec<(String, std::time::Duration)>> {
        self.runtime.block_on(async {
            let mut calls = JoinSet::new();
            let start = std::time::Instant::now();
            for name in names {
                let (request, mut to) = (
                    request(name, bytes, true, &From::Nothing),
                    self.controller.clone(),
                );
                calls.spawn(async move {
                    let answer = to.create_volume(request).await?.into_inner();
                    let volume = answer.volume.context("an answer without volume")?;
                    anyhow::Ok((volume.volume_id, start.elapsed()))
                });
            }
            let mut made = Vec::new();
            while let Some(done) = calls.join_next().await {
                made.push(done??);
            }
            Ok(made)
        })
    }

    pub(super) fn snapshot(&self, name: &str, volume: &str) -> Result<String> {
        let request = CreateSnapshotRequest {
            source_volume_id: volume.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        let answer = self
            .runtime
            .block_on(self.controller.clone().create_snapshot(request))?;
        let snapshot = answer.into_inner().snapshot;
        Ok(snapshot.context("an answer without snapshot")?.snapshot_id)
    }

    pub(super) fn expand(&self, volume: &str, bytes: u64) -> Result<()> {
        let request = ControllerExpandVolumeRequest {
            volume_id: volume.to_owned(),
            capacity_range: Some(range(bytes)),
            volume_capability: Some(block()),
            ..Default::default()
        };
        self.runtime
            .block_on(self.controller.clone().controller_expand_volume(request))?;
        Ok(())
    }

    pub(super) fn delete(&self, volume: &str) -> Result<()> {
        let request = DeleteVolumeRequest {
            volume_id: volume.to_owned(),
            ..Default::default()
        };
        self.runtime
            .block_on(self.controller.clone().delete_volume(request))?;
        Ok(())
    }

    pub(super) fn delete_snapshot(&self, snapshot: &str) -> Result<()> {
        let request = DeleteSnapshotRequest {
            snapshot_id: snapshot.to_owned(),
            ..Default::default()
        };
        self.runtime
            .block_on(self.controller.clone().delete_snapshot(request))?;
        Ok(())
    }

    /// All volumes on one page, or the first so many; the result is how many came.
    pub(super) fn list(&self, most: i32) -> Result<usize> {
        let request = ListVolumesRequest {
            max_entries: most,
            ..Default::default()
        };
        let answer = self
            .runtime
            .block_on(self.controller.clone().list_volumes(request))?;
        Ok(answer.into_inner().entries.len())
    }

    pub(super) fn capacity(&self) -> Result<()> {
        let request = GetCapacityRequest::default();
        self.runtime
            .block_on(self.controller.clone().get_capacity(request))?;
        Ok(())
    }

    /// What is wrong with any volume.
    pub(super) fn list_health(&self) -> Result<()> {
        let request = ControllerListVolumeHealthRequest::default();
        self.runtime.block_on(
            self.controller
                .clone()
                .controller_list_volume_health(request),
        )?;
        Ok(())
    }

    /// What is wrong with one volume.
    pub(super) fn health(&self, volume: &str) -> Result<()> {
        let request = ControllerGetVolumeHealthRequest {
            volume_id: volume.to_owned(),
            ..Default::default()
        };
        self.runtime.block_on(
            self.controller
                .clone()
                .controller_get_volume_health(request),
        )?;
        Ok(())
    }
}

fn request(name: &str, bytes: u64, thin: bool, from: &From) -> CreateVolumeRequest {
    let source = match from {
        From::Nothing => None,
        From::Snapshot(id) => Some(Type::Snapshot(SnapshotSource {
            snapshot_id: id.clone(),
        })),
        From::Volume(id) => Some(Type::Volume(VolumeSource {
            volume_id: id.clone(),
        })),
    };
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(range(bytes)),
        volume_capabilities: vec![block()],
        parameters: [("thin".to_owned(), thin.to_string())].into(),
        volume_content_source: source.map(|source| VolumeContentSource {
            r#type: Some(source),
        }),
        ..Default::default()
    }
}

fn range(bytes: u64) -> CapacityRange {
    CapacityRange {
        required_bytes: i64::try_from(bytes).unwrap_or(i64::MAX),
        limit_bytes: 0,
    }
}

fn block() -> VolumeCapability {
    VolumeCapability {
        access_mode: Some(AccessMode {
            mode: access_mode::Mode::SingleNodeWriter.into(),
        }),
        access_type: Some(AccessType::Block(BlockVolume {})),
    }
}
