//! The `GroupController` service: snapshots of several volumes at one instant.
//!
//! A group snapshot is its snapshots: each says in its tags (`fl.g`) which one is the first, whose id is the group's. The
//! first one is tagged `making` until all are of one instant; that hides the others too. What stands under a
//! group's name decides what is done:
//!
//! | what stands              | how it came about                        | this call                                |
//! |--------------------------|------------------------------------------|------------------------------------------|
//! | nothing                  | first call                               | makes it                                 |
//! | complete, of these volumes | repeated call                          | tells it                                 |
//! | complete, of others      | the name is taken, or one was removed by hand | `ALREADY_EXISTS`                    |
//! | the first one `making`   | died before all were of one instant      | removes it, makes it anew: no id was told |
//!
//! LVM's commands for n volumes: n times `lvcreate -s`, then csi/lvm takes all together, then one `lvchange`.
//!
//! A thick volume is `FAILED_PRECONDITION`: LVM alone makes snapshots of these, one after the other. So are volumes of
//! several volume groups: no lock covers them.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_csi_lvm::Layout;
use fairlead_csi_spec::Timestamp;
use fairlead_csi_spec::v1::group_controller_server::GroupController;
use fairlead_csi_spec::v1::group_controller_service_capability::{Rpc, Type, rpc};
use fairlead_csi_spec::v1::{
    CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse,
    DeleteVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotResponse,
    GetVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotResponse,
    GroupControllerGetCapabilitiesRequest, GroupControllerGetCapabilitiesResponse,
    GroupControllerServiceCapability, VolumeGroupSnapshot,
};
use fairlead_csi_volume::{CoName, Kind, Member, Record, SnapshotParameters, VolumeId};

use crate::controller::delete::{remove, retag};
use crate::controller::{known, snapshot};
use crate::driver::{Driver, Shared, service};
use crate::error::DriverError;
use crate::groups::Found;
use crate::request;

/// What claims call it.
const KIND: &str = "group snapshot";

service!(GroupController {
    group_controller_get_capabilities(GroupControllerGetCapabilitiesRequest)
        -> GroupControllerGetCapabilitiesResponse = capabilities;
    create_volume_group_snapshot(CreateVolumeGroupSnapshotRequest)
        -> CreateVolumeGroupSnapshotResponse = create;
    delete_volume_group_snapshot(DeleteVolumeGroupSnapshotRequest)
        -> DeleteVolumeGroupSnapshotResponse = delete;
    get_volume_group_snapshot(GetVolumeGroupSnapshotRequest)
        -> GetVolumeGroupSnapshotResponse = get;
});

#[expect(
    clippy::trivially_copy_pass_by_ref,
    clippy::unnecessary_wraps,
    reason = "the form that all calls have"
)]
fn capabilities(
    _: &Arc<Shared>,
    _: &GroupControllerGetCapabilitiesRequest,
) -> Result<GroupControllerGetCapabilitiesResponse, DriverError> {
    let r#type = rpc::Type::CreateDeleteGetVolumeGroupSnapshot.into();
    Ok(GroupControllerGetCapabilitiesResponse {
        capabilities: vec![GroupControllerServiceCapability {
            r#type: Some(Type::Rpc(Rpc { r#type })),
        }],
    })
}

fn create(
    shared: &Arc<Shared>,
    request: &CreateVolumeGroupSnapshotRequest,
) -> Result<CreateVolumeGroupSnapshotResponse, DriverError> {
    if request.name.is_empty() {
        return Err(DriverError::Missing { field: "name" });
    }
    let name = CoName::new(&request.name)?;
    SnapshotParameters::parse(&request.parameters)?;
    let origins = sources(&request.source_volume_ids)?;
    let vg = one_group(&origins)?;
    let _name = shared.inflight.claim(KIND, name.as_str())?;
    let must = shared.groups.by_id(&vg.vg)?.vg.name.clone();
    let members = match shared.groups.member_by_name(&name, &must)? {
        None => make(shared, &name, &origins)?,
        Some(member) if member.is_unfinished() => {
            tracing::info!(
                name = name.as_str(),
                "half-made group snapshot is made anew"
            );
            let id = group_id(&member);
            shared.groups.undo(&id.vg, &id.lv)?;
            make(shared, &name, &origins)?
        }
        Some(member) => {
            let members = shared.groups.members(&group_id(&member))?;
            same(&name, &members, &origins)?;
            members
        }
    };
    Ok(CreateVolumeGroupSnapshotResponse {
        group_snapshot: told(&members),
    })
}

fn delete(
    shared: &Arc<Shared>,
    request: &DeleteVolumeGroupSnapshotRequest,
) -> Result<DeleteVolumeGroupSnapshotResponse, DriverError> {
    let done = Ok(DeleteVolumeGroupSnapshotResponse {});
    let Some(id) = request::id("group_snapshot_id", &request.group_snapshot_id)? else {
        return done;
    };
    let _group = shared.inflight.claim(KIND, &id.to_string())?;
    let members = shared.groups.members(&id)?;
    if members.iter().any(Found::is_unfinished) {
        return done;
    }
    let listed = ids(&request.snapshot_ids);
    // What was deleted by an earlier call that was cut off may be listed still.
    let missed = members.iter().find(|it| !listed.contains(&Some(it.id())));
    if let Some(missed) = missed.filter(|_| !listed.is_empty()) {
        return Err(mismatch(&id, &missed.id().to_string(), "is of it"));
    }
    for listed in listed.into_iter().flatten() {
        let found = shared.groups.find(Kind::Snapshot, &listed)?;
        if found.is_some_and(|found| group_of(&found) != Some(id)) {
            return Err(mismatch(&id, &listed.to_string(), "is not of it"));
        }
    }
    remove(shared, &members)?;
    done
}

fn get(
    shared: &Arc<Shared>,
    request: &GetVolumeGroupSnapshotRequest,
) -> Result<GetVolumeGroupSnapshotResponse, DriverError> {
    let id = request::id("group_snapshot_id", &request.group_snapshot_id)?;
    let missing = || DriverError::NotFound {
        kind: KIND,
        object: request.group_snapshot_id.clone(),
    };
    let id = id.ok_or_else(missing)?;
    let members = shared.groups.members(&id)?;
    if members.is_empty() || members.iter().any(Found::is_unfinished) {
        return Err(missing());
    }
    let listed = ids(&request.snapshot_ids);
    let is: BTreeSet<_> = members.iter().map(|it| Some(it.id())).collect();
    if let Some(other) = is.symmetric_difference(&listed).next()
        && !listed.is_empty()
    {
        let (which, why) = match other {
            Some(id) if is.contains(other) => (id.to_string(), "is of it"),
            Some(id) => (id.to_string(), "is not of it"),
            None => ("an id that no snapshot has".to_owned(), "is not of it"),
        };
        return Err(mismatch(&id, &which, why));
    }
    Ok(GetVolumeGroupSnapshotResponse {
        group_snapshot: told(&members),
    })
}

/// The volumes of a request, each once, in the order of their ids.
fn sources(asked: &[String]) -> Result<BTreeSet<VolumeId>, DriverError> {
    const FIELD: &str = "source_volume_ids";
    if asked.is_empty() {
        return Err(DriverError::Missing { field: FIELD });
    }
    let mut sources = BTreeSet::new();
    for text in asked {
        let id = request::id(FIELD, text)?.ok_or_else(|| DriverError::NotFound {
            kind: "volume",
            object: text.clone(),
        })?;
        if !sources.insert(id) {
            let allowed = "it is there twice; each volume is named once";
            return Err(DriverError::invalid(FIELD, text, allowed));
        }
    }
    Ok(sources)
}

/// That all are of one volume group; one of them.
fn one_group(origins: &BTreeSet<VolumeId>) -> Result<VolumeId, DriverError> {
    // Sorted by volume group first.
    match (origins.first(), origins.last()) {
        (Some(first), Some(last)) if first.vg == last.vg => Ok(*first),
        (Some(first), Some(last)) => Err(DriverError::precondition(format!(
            "volumes {first} and {last} are of two volume groups: snapshots of one instant are only \
             taken of volumes of the same"
        ))),
        _ => Err(DriverError::internal("no volume")),
    }
}

/// `None` stands for ids that no snapshot can have.
fn ids(listed: &[String]) -> BTreeSet<Option<VolumeId>> {
    listed.iter().map(|id| id.parse().ok()).collect()
}

fn mismatch(id: &VolumeId, other: &str, why: &str) -> DriverError {
    let allowed = format!("{other} {why}; all snapshots of the group are listed, and no others");
    DriverError::invalid("snapshot_ids", format!("not those of {id}"), allowed)
}

/// The id of the group that a snapshot is of.
pub(crate) fn group_of(found: &Found) -> Option<VolumeId> {
    let vg = found.vg().uuid;
    match found.record.group? {
        Member::First => Some(found.id()),
        Member::Of(lv) => Some(VolumeId { vg, lv }),
    }
}

/// As [`group_of`], of what is known to be of one.
fn group_id(member: &Found) -> VolumeId {
    group_of(member).unwrap_or_else(|| member.id())
}

/// The group as the CO knows it. LVM keeps when each snapshot was made; they are of one instant right after the
/// last of them.
fn told(members: &[Found]) -> Option<VolumeGroupSnapshot> {
    let last = members.iter().filter_map(|it| it.lv().created).max();
    Some(VolumeGroupSnapshot {
        group_snapshot_id: group_id(members.first()?).to_string(),
        snapshots: members.iter().map(snapshot::snapshot).collect(),
        creation_time: Some(Timestamp {
            seconds: request::signed(last.unwrap_or_default()),
            nanos: 0,
        }),
        ready_to_use: true,
    })
}

fn same(name: &CoName, members: &[Found], asked: &BTreeSet<VolumeId>) -> Result<(), DriverError> {
    let of = |member: &Found| {
        let (vg, lv) = (member.vg().uuid, snapshot::origin(member)?);
        Some(VolumeId { vg, lv })
    };
    let is: BTreeSet<VolumeId> = members.iter().filter_map(of).collect();
    if is == *asked {
        return Ok(());
    }
    let words = |ids: &BTreeSet<VolumeId>| {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        ids.join(", ")
    };
    Err(DriverError::Exists {
        kind: KIND,
        object: name.to_string(),
        differs: format!("it is of {}, asked are {}", words(&is), words(asked)),
    })
}

/// Makes the snapshots of a group; when that fails, none is left.
fn make(
    shared: &Arc<Shared>,
    name: &CoName,
    ids: &BTreeSet<VolumeId>,
) -> Result<Vec<Found>, DriverError> {
    // Nobody stages, unstages, grows or removes one meanwhile.
    let _claims = ids
        .iter()
        .map(|id| shared.inflight.claim("volume", &id.to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    let origins = ids
        .iter()
        .map(|id| thin(known(shared, Kind::Volume, Some(*id), &id.to_string())?))
        .collect::<Result<Vec<_>, _>>()?;
    let mut members = Vec::new();
    let made = taken(shared, name, &origins, &mut members);
    let Some(first) = members.first().map(Found::id) else {
        return made.map(|()| members);
    };
    if let Err(error) = made {
        if let Err(left) = shared.groups.undo(&first.vg, &first.lv) {
            // Nobody is told of it, and whoever asks again has it removed.
            tracing::warn!(group = %first, "half-made group snapshot stays: {left}");
        }
        return Err(error);
    }
    shared.groups.members(&first)
}

fn thin(found: Found) -> Result<Found, DriverError> {
    match found.lv().layout {
        Layout::Thin { .. } => Ok(found),
        _ => Err(DriverError::precondition(format!(
            "volume {} is thick: snapshots of one instant are only taken of thin volumes",
            found.id()
        ))),
    }
}

/// All the way to a group that may be told.
fn taken(
    shared: &Shared,
    name: &CoName,
    origins: &[Found],
    members: &mut Vec<Found>,
) -> Result<(), DriverError> {
    for origin in origins {
        let group = members
            .first()
            .map_or(Member::First, |first| Member::Of(first.lv().uuid));
        let record = Record {
            making: group == Member::First,
            group: Some(group),
            ..snapshot::record(origin, name.clone())
        };
        members.push(snapshot::thin(shared, origin, &record)?);
    }
    let Some(first) = members.first() else {
        return Err(DriverError::internal("no volume"));
    };
    let lvs: Vec<_> = members.iter().map(|it| it.lv().uuid).collect();
    shared.lvm.snapshot_together(&first.vg().uuid, &lvs)?;
    let record = Record {
        making: false,
        ..(*first.record).clone()
    };
    retag(shared, first, &record)
}
