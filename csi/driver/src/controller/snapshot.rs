//! `CreateSnapshot`: one LVM command, with the tags in it.
//!
//! Of a thin volume: a thin snapshot, which needs its origin no more and costs what changes. Of a thick one: a
//! copy-on-write snapshot with a stated size, made for a backup soon after and removed then; it is lost when
//! more changes at the origin than it has room for.
//!
//! The snapshot's record is its origin's at that moment, with the snapshot's name: what is on it, and what a
//! volume made from it has to be. A repeated call finds it by name; a snapshot is whole once it is there.

use std::sync::Arc;

use fairlead_csi_lvm::{Command, Layout};
use fairlead_csi_spec::Timestamp;
use fairlead_csi_spec::v1::{
    CreateSnapshotRequest, CreateSnapshotResponse, GetSnapshotRequest, GetSnapshotResponse,
    Snapshot,
};
use fairlead_csi_volume::{
    CoName, Kind, Limits, LvUuid, Record, SnapshotParameters, Source, VolumeId,
};

use crate::driver::Shared;
use crate::error::DriverError;
use crate::group_snapshot::group_of;
use crate::groups::Found;
use crate::{place, pool, request, thick};

pub(super) fn create(
    shared: &Arc<Shared>,
    request: &CreateSnapshotRequest,
) -> Result<CreateSnapshotResponse, DriverError> {
    if request.name.is_empty() {
        return Err(DriverError::Missing { field: "name" });
    }
    let origin = request::id("source_volume_id", &request.source_volume_id)?;
    let name = CoName::new(&request.name)?;
    let parameters = SnapshotParameters::parse(&request.parameters)?;
    let _name = shared.inflight.claim("snapshot", name.as_str())?;
    let group = match origin {
        Some(origin) => Some(shared.groups.by_id(&origin.vg)?),
        None => None,
    };
    let must = group.as_ref().map(|group| group.vg.name.as_str());
    let standing = shared.groups.by_name(Kind::Snapshot, &name, must)?;
    let found = if let Some(found) = standing {
        let found = same(found, origin)?;
        shared.lvm.confirm(found.vg(), found.lv())?;
        found
    } else {
        let _origin = shared.inflight.claim("volume", &request.source_volume_id)?;
        let origin = super::known(shared, Kind::Volume, origin, &request.source_volume_id)?;
        make(shared, &origin, name, parameters)?
    };
    Ok(CreateSnapshotResponse {
        snapshot: Some(snapshot(&found)),
    })
}

pub(super) fn get(
    shared: &Arc<Shared>,
    request: &GetSnapshotRequest,
) -> Result<GetSnapshotResponse, DriverError> {
    let id = request::id("snapshot_id", &request.snapshot_id)?;
    let found = super::known(shared, Kind::Snapshot, id, &request.snapshot_id)?;
    Ok(GetSnapshotResponse {
        snapshot: Some(snapshot(&found)),
    })
}

/// The volume that a snapshot is of.
pub(crate) fn origin(found: &Found) -> Option<LvUuid> {
    found.record.source.map(|source| source.lv)
}

/// The snapshot as the CO knows it.
pub(crate) fn snapshot(found: &Found) -> Snapshot {
    let vg = found.vg().uuid;
    let seconds = found.lv().created.unwrap_or_default();
    Snapshot {
        size_bytes: request::signed(found.bytes()),
        snapshot_id: found.id().to_string(),
        source_volume_id: origin(found)
            .map(|lv| VolumeId { vg, lv }.to_string())
            .unwrap_or_default(),
        creation_time: Some(Timestamp {
            seconds: request::signed(seconds),
            nanos: 0,
        }),
        ready_to_use: true,
        group_snapshot_id: group_of(found).map_or_else(String::new, |id| id.to_string()),
        // Only with the plugin's capability for it; the volumes made from it tell where they are.
        accessible_topology: Vec::new(),
    }
}

fn same(found: Found, asked: Option<VolumeId>) -> Result<Found, DriverError> {
    let of = origin(&found);
    if asked.is_some_and(|asked| asked.vg == found.vg().uuid && Some(asked.lv) == of) {
        return Ok(found);
    }
    let vg = found.vg().uuid;
    let is = of.map_or_else(String::new, |lv| VolumeId { vg, lv }.to_string());
    Err(DriverError::Exists {
        kind: "snapshot",
        object: found.record.name.to_string(),
        differs: format!("it is of volume {is}"),
    })
}

/// What a snapshot is: what its origin is now, under another name.
pub(crate) fn record(origin: &Found, name: CoName) -> Record {
    Record {
        kind: Kind::Snapshot,
        name,
        wanted: origin.vg().bytes(origin.lv()),
        source: Some(Source {
            kind: Kind::Volume,
            lv: origin.lv().uuid,
        }),
        fs: place::inherited(origin),
        limits: Limits::default(),
        ..(*origin.record).clone()
    }
}

/// A snapshot of a thin volume.
pub(crate) fn thin(shared: &Shared, origin: &Found, record: &Record) -> Result<Found, DriverError> {
    let (tags, of) = (record.tags()?, origin.lv().uuid);
    shared.groups.change(&origin.vg().uuid, || {
        pool::admit_beside(shared, origin, 0)?;
        super::create::named(shared, &origin.group, Kind::Snapshot, |name| {
            Command::Snapshot {
                of,
                name,
                read_only: true,
                tags: tags.clone(),
            }
        })
    })
}

fn make(
    shared: &Shared,
    origin: &Found,
    name: CoName,
    parameters: SnapshotParameters,
) -> Result<Found, DriverError> {
    let record = record(origin, name);
    if let Layout::Thin { .. } = origin.lv().layout {
        return thin(shared, origin, &record);
    }
    let (tags, of) = (record.tags()?, origin.lv().uuid);
    shared.groups.change(&origin.vg().uuid, || {
        let extents = parameters.extents(origin.lv().extents, origin.vg().extent_size);
        thick::room(shared, origin, extents)?;
        super::create::named(shared, &origin.group, Kind::Snapshot, |name| {
            Command::CowSnapshot {
                of,
                name,
                extents,
                tags: tags.clone(),
            }
        })
    })
}
