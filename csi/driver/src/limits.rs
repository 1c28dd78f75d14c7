//! How many volumes this node takes: as many as are configured, or as LVM's metadata areas hold.

use std::sync::Arc;

use fairlead_csi_lvm::Vg;
use fairlead_csi_volume::metadata::USUAL;
use fairlead_csi_volume::{Full, Kind};

use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Group;
use crate::pool::no_room;
use crate::{health, request};

/// That one volume or snapshot more may be in the group. LVM itself refuses every change once its metadata
/// area is full, removals too: so this does first.
pub(crate) fn admit(shared: &Shared, vg: &Vg, kind: Kind) -> Result<(), DriverError> {
    health::area(vg).admit(USUAL).map_err(no_room)?;
    let Some(limit) = shared.config.volumes.map(u64::from) else {
        return Ok(());
    };
    let volumes: u64 = shared
        .groups
        .readable()
        .iter()
        .map(|it| volumes(shared, it))
        .sum();
    if kind == Kind::Volume && volumes >= limit {
        return Err(no_room(Full::Volumes { volumes, limit }));
    }
    Ok(())
}

/// The most volumes that this node has at a time, for schedulers.
pub(crate) fn most(shared: &Shared) -> i64 {
    if let Some(limit) = shared.config.volumes {
        return limit.into();
    }
    let fits = |group: &Arc<Group>| volumes(shared, group) + health::area(&group.vg).more(USUAL);
    request::signed(shared.groups.readable().iter().map(fits).sum())
}

fn volumes(shared: &Shared, group: &Arc<Group>) -> u64 {
    let all = group.all(&shared.config.cluster);
    u64::try_from(all.filter(|it| it.record.kind == Kind::Volume).count()).unwrap_or(u64::MAX)
}
