//! `DeleteVolume` and `DeleteSnapshot`.
//!
//! | what stands                               | answer                                             |
//! |-------------------------------------------|----------------------------------------------------|
//! | no id of ours, or none in a complete group | `OK`: it is not there                             |
//! | its group cannot be read complete         | `UNAVAILABLE`                                      |
//! | an LV without our tags, or another cluster's | `FAILED_PRECONDITION`, nothing is touched        |
//! | a snapshot of a group                     | `INVALID_ARGUMENT`: the group goes as a whole      |
//! | staged, published, or open                | `FAILED_PRECONDITION`                              |
//! | thick, with copy-on-write snapshots       | `FAILED_PRECONDITION` that names them              |
//! | `wipe: delete`                            | put aside (`fl.d=0`), `OK`; erased and removed by [`crate::remove`] |
//! | anything else of ours                     | one `lvremove`, `OK`                               |

use std::sync::Arc;

use fairlead_csi_lvm::{Command, MOST_REMOVED};
use fairlead_csi_spec::v1::{
    DeleteSnapshotRequest, DeleteSnapshotResponse, DeleteVolumeRequest, DeleteVolumeResponse,
};
use fairlead_csi_volume::{FsState, Kind, Record, VolumeId, Wipe, changes};

use crate::driver::Shared;
use crate::error::DriverError;
use crate::group_snapshot::group_of;
use crate::groups::Found;
use crate::node::is_idle;
use crate::request;

pub(super) fn volume(
    shared: &Arc<Shared>,
    request: &DeleteVolumeRequest,
) -> Result<DeleteVolumeResponse, DriverError> {
    if let Some(id) = request::id("volume_id", &request.volume_id)? {
        delete(shared, Kind::Volume, &id)?;
    }
    Ok(DeleteVolumeResponse {})
}

pub(super) fn snapshot(
    shared: &Arc<Shared>,
    request: &DeleteSnapshotRequest,
) -> Result<DeleteSnapshotResponse, DriverError> {
    if let Some(id) = request::id("snapshot_id", &request.snapshot_id)? {
        let found = shared.groups.find(Kind::Snapshot, &id)?;
        if let Some(group) = found.as_ref().and_then(group_of) {
            let allowed = format!(
                "it is of group snapshot {group}, which DeleteVolumeGroupSnapshot deletes as a whole"
            );
            return Err(DriverError::invalid("snapshot_id", id.to_string(), allowed));
        }
        delete(shared, Kind::Snapshot, &id)?;
    }
    Ok(DeleteSnapshotResponse {})
}

/// Removes a volume or snapshot that nobody uses.
pub(crate) fn delete(shared: &Shared, kind: Kind, id: &VolumeId) -> Result<(), DriverError> {
    let _claim = shared.inflight.claim("volume", &id.to_string())?;
    let Some(found) = shared.groups.find(kind, id)? else {
        return Ok(());
    };
    if found.record.put_aside.is_some() {
        return Ok(());
    }
    unused(shared, &found)?;
    if wipes(&found.record) {
        return put_aside(shared, &found);
    }
    let lvs = vec![id.lv];
    shared.lvm.run(&id.vg, &Command::Remove { lvs })?;
    Ok(())
}

/// Removes snapshots that were taken together, and that nobody uses.
pub(crate) fn remove(shared: &Shared, members: &[Found]) -> Result<(), DriverError> {
    let _claims = members
        .iter()
        .map(|it| shared.inflight.claim("volume", &it.id().to_string()))
        .collect::<Result<Vec<_>, _>>()?;
    for found in members {
        unused(shared, found)?;
    }
    let (erased, removed): (Vec<_>, Vec<_>) =
        members.iter().partition(|found| wipes(&found.record));
    for found in erased {
        put_aside(shared, found)?;
    }
    for some in removed.chunks(MOST_REMOVED) {
        let lvs = some.iter().map(|found| found.lv().uuid).collect();
        let vg = some[0].vg().uuid;
        shared.lvm.run(&vg, &Command::Remove { lvs })?;
    }
    Ok(())
}

/// Whether what is on it has to be erased. What never got anything has nothing.
pub(crate) fn wipes(record: &Record) -> bool {
    record.parameters.wipe == Wipe::Delete && record.fs != FsState::Never
}

/// That nobody has it open, and no copy-on-write snapshot needs it.
fn unused(shared: &Shared, found: &Found) -> Result<(), DriverError> {
    let (vg, lv) = (found.vg(), found.lv());
    let snapshots: Vec<&str> = vg
        .cow_snapshots_of(&lv.name)
        .map(|it| it.name.as_str())
        .collect();
    if !snapshots.is_empty() {
        return Err(DriverError::precondition(format!(
            "volume {} has copy-on-write snapshots, which need it: delete {} first",
            found.id(),
            snapshots.join(", ")
        )));
    }
    let status = shared.lvm.status(vg, lv)?;
    // A raw block volume is not open while it is staged. What is active for nobody goes.
    if status.active && status.open == 0 && !is_idle(&shared.lvm, found)? {
        return Err(DriverError::precondition(format!(
            "{} is in use on this node: it is staged; unpublish and unstage it first",
            found.id()
        )));
    }
    if status.open > 0 {
        return Err(DriverError::precondition(format!(
            "{} is in use on this node: it is open {} times; unpublish and unstage it first",
            found.id(),
            status.open
        )));
    }
    Ok(())
}

/// Takes it out of the CO's sight, for removal.
fn put_aside(shared: &Shared, found: &Found) -> Result<(), DriverError> {
    let record = Record {
        put_aside: Some(0),
        ..(*found.record).clone()
    };
    retag(shared, found, &record)?;
    shared.background.wake();
    Ok(())
}

/// Makes the tags of a volume say `record`, whatever they have come to say since it was found.
pub(crate) fn retag(shared: &Shared, found: &Found, record: &Record) -> Result<(), DriverError> {
    let group = shared.groups.by_id(&found.vg().uuid)?;
    let lv = group.vg.lv(&found.lv().uuid).unwrap_or(found.lv());
    let (add, remove) = changes(lv.tags.iter().map(String::as_str), record)?;
    if add.is_empty() && remove.is_empty() {
        return Ok(());
    }
    let lv = lv.uuid;
    let vg = shared
        .lvm
        .run(&found.vg().uuid, &Command::Retag { lv, add, remove })?;
    shared.groups.read(vg);
    Ok(())
}
