//! What there is, and how well it is: lists and single volumes, without any LVM command.
//!
//! Lists are sorted by id; a page's token is the id that it ended with. A volume that is half-made or put
//! aside is in no list.

use std::sync::Arc;

use fairlead_csi_spec::v1::controller_get_volume_response::VolumeStatus as GotStatus;
use fairlead_csi_spec::v1::list_snapshots_response::Entry as SnapshotEntry;
use fairlead_csi_spec::v1::list_volumes_response::{Entry, VolumeStatus};
use fairlead_csi_spec::v1::{
    ControllerGetVolumeHealthRequest, ControllerGetVolumeHealthResponse,
    ControllerGetVolumeRequest, ControllerGetVolumeResponse, ControllerListVolumeHealthRequest,
    ControllerListVolumeHealthResponse, ListSnapshotsRequest, ListSnapshotsResponse,
    ListVolumesRequest, ListVolumesResponse,
};
use fairlead_csi_volume::page::cut;
use fairlead_csi_volume::{Kind, VolumeId};

use super::create::volume;
use super::snapshot::{origin, snapshot};
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::health::{self, Health};
use crate::request;

/// Everything of a kind that a CO knows, by id.
fn all(shared: &Shared, kind: Kind) -> Result<Vec<Found>, DriverError> {
    let mut all = Vec::new();
    for group in shared.groups.peek_all()? {
        let ours = group.all(&shared.config.cluster);
        all.extend(ours.filter(|it| it.record.kind == kind && it.is_there()));
    }
    all.sort_by_key(Found::id);
    Ok(all)
}

pub(super) fn volumes(
    shared: &Arc<Shared>,
    request: &ListVolumesRequest,
) -> Result<ListVolumesResponse, DriverError> {
    let all = all(shared, Kind::Volume)?;
    let page = cut(all, Found::id, &request.starting_token, request.max_entries)?;
    let mut health = Health::new(shared);
    Ok(ListVolumesResponse {
        entries: page
            .entries
            .iter()
            .map(|found| Entry {
                volume: Some(volume(&shared.config.node, found)),
                status: Some(VolumeStatus {
                    published_node_ids: Vec::new(),
                    volume_condition: Some(health::condition(&health.of(found))),
                }),
            })
            .collect(),
        next_token: page.next,
    })
}

pub(super) fn volume_health(
    shared: &Arc<Shared>,
    request: &ControllerListVolumeHealthRequest,
) -> Result<ControllerListVolumeHealthResponse, DriverError> {
    let all = all(shared, Kind::Volume)?;
    let mut health = Health::new(shared);
    let sick = all
        .into_iter()
        .map(|found| (found.id(), health.of(&found)))
        .filter(|(_, entries)| !entries.is_empty());
    let page = cut(
        sick,
        |(id, _)| *id,
        &request.starting_token,
        request.max_entries,
    )?;
    Ok(ControllerListVolumeHealthResponse {
        entries: page
            .entries
            .into_iter()
            .map(|(id, entries)| health::message(id.to_string(), entries))
            .collect(),
        next_token: page.next,
    })
}

pub(super) fn get_health(
    shared: &Arc<Shared>,
    request: &ControllerGetVolumeHealthRequest,
) -> Result<ControllerGetVolumeHealthResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let found = super::known(shared, Kind::Volume, id, &request.volume_id)?;
    let entries = Health::new(shared).of(&found);
    Ok(ControllerGetVolumeHealthResponse {
        volume_health: Some(health::message(request.volume_id.clone(), entries)),
    })
}

pub(super) fn get(
    shared: &Arc<Shared>,
    request: &ControllerGetVolumeRequest,
) -> Result<ControllerGetVolumeResponse, DriverError> {
    let id = request::id("volume_id", &request.volume_id)?;
    let found = super::known(shared, Kind::Volume, id, &request.volume_id)?;
    Ok(ControllerGetVolumeResponse {
        volume: Some(volume(&shared.config.node, &found)),
        status: Some(GotStatus {
            published_node_ids: Vec::new(),
            volume_condition: Some(health::condition(&Health::new(shared).of(&found))),
        }),
    })
}

pub(super) fn snapshots(
    shared: &Arc<Shared>,
    request: &ListSnapshotsRequest,
) -> Result<ListSnapshotsResponse, DriverError> {
    let mut all = all(shared, Kind::Snapshot)?;
    let asked = |id: &str| (!id.is_empty()).then(|| id.parse::<VolumeId>().ok());
    if let Some(id) = asked(&request.snapshot_id) {
        all.retain(|it| Some(it.id()) == id);
    }
    if let Some(id) = asked(&request.source_volume_id) {
        let of = |it: &Found| {
            Some(VolumeId {
                vg: it.vg().uuid,
                lv: origin(it)?,
            })
        };
        all.retain(|it| id.is_some() && of(it) == id);
    }
    let page = cut(all, Found::id, &request.starting_token, request.max_entries)?;
    Ok(ListSnapshotsResponse {
        entries: page
            .entries
            .iter()
            .map(|found| SnapshotEntry {
                snapshot: Some(snapshot(found)),
            })
            .collect(),
        next_token: page.next,
    })
}
