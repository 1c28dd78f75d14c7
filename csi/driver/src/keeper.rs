//! Keeps pools and copy-on-write snapshots from filling while the group has room, and limits in force.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fairlead_csi_lvm::{Command, Layout, Lv, LvUuid, VgUuid};
use fairlead_csi_volume::{Kind, Limits, WhenFull, pool};

use crate::background::{LATER, SOON};
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::{Found, Group};
use crate::pool::{of_status, read, room};
use crate::throttle;

/// A snapshot's store grows from this fill on, by a quarter of its origin.
const GROW_SNAPSHOT_AT: u64 = 70;

/// Looks at everything once. What fails is told and tried again at the next turn; how soon that has to come is
/// the result.
pub(crate) fn turn(shared: &Shared) -> Duration {
    let mut next = LATER;
    for group in shared.groups.readable() {
        for lv in pools(shared, &group) {
            match grow(shared, &group, lv) {
                Ok(Watch::Events) => {}
                Ok(Watch::Closely) => next = SOON,
                Err(error) => {
                    next = SOON;
                    tracing::warn!(pool = lv.name, vg = group.vg.name, "cannot grow: {error}");
                }
            }
        }
        for found in group.all(&shared.config.cluster) {
            match keep(shared, &found) {
                Ok(Watch::Events) => {}
                Ok(Watch::Closely) => next = SOON,
                Err(error) => tracing::warn!(id = %found.id(), "cannot be kept: {error}"),
            }
        }
    }
    next
}

/// How the next need to grow is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// The kernel tells.
    Events,
    /// Only by looking.
    Closely,
}

/// The pools that volumes of ours are in, or are to be in.
fn pools<'a>(shared: &Shared, group: &'a Arc<Group>) -> Vec<&'a Lv> {
    let classes = shared.config.classes.iter();
    let mut names: BTreeSet<String> = classes
        .filter(|class| class.vg == group.vg.name)
        .map(|class| class.pool.clone())
        .collect();
    names.extend(
        group
            .all(&shared.config.cluster)
            .filter_map(|found| match &found.lv().layout {
                Layout::Thin { pool, .. } => Some(pool.clone()),
                _ => None,
            }),
    );
    let lvs = names.iter().filter_map(|name| group.vg.lv_named(name));
    lvs.filter(|lv| matches!(lv.layout, Layout::ThinPool { .. }))
        .collect()
}

/// Lets a pool grow when it has to.
fn grow(shared: &Shared, group: &Arc<Group>, lv: &Lv) -> Result<Watch, DriverError> {
    let Some(status) = shared.lvm.status(&group.vg, lv)?.pool else {
        // Nobody uses it.
        return Ok(Watch::Events);
    };
    let (state, _) = of_status(shared, &group.vg, lv, &status)?;
    if pool::is_due(&state) {
        let id = group.vg.uuid;
        shared
            .groups
            .change(&id, || grow_now(shared, &id, &lv.uuid))?;
        // Until it has grown, also when there is room only later.
        return Ok(Watch::Closely);
    }
    // The kernel tells of a mark that LVM has set; a pool that answers a full one with errors has no second chance.
    let told = status.low_water > 0 && state.when_full == WhenFull::Queue;
    Ok(if told { Watch::Events } else { Watch::Closely })
}

/// Lets a pool grow as its fill and the group's room ask for. To be called while the group is held for a change.
pub(crate) fn grow_now(shared: &Shared, id: &VgUuid, lv: &LvUuid) -> Result<(), DriverError> {
    let group = shared.groups.by_id(id)?;
    let Some(lv) = group.vg.lv(lv) else {
        return Ok(());
    };
    let (state, _) = read(shared, &group.vg, lv)?;
    let growth = pool::grow(&state, &room(&group.vg));
    let pool = lv.uuid;
    if growth.metadata > 0 {
        let now = state.metadata.div_ceil(group.vg.extent_size);
        let to_extents = now + growth.metadata;
        tracing::info!(pool = lv.name, to_extents, "the pool's metadata grows");
        let command = Command::ExtendPoolMetadata { pool, to_extents };
        shared.lvm.run(id, &command)?;
    }
    if growth.data > 0 {
        let to_extents = lv.extents + growth.data;
        tracing::info!(pool = lv.name, to_extents, "the pool's data grows");
        shared
            .lvm
            .run(id, &Command::ExtendPool { pool, to_extents })?;
    }
    Ok(())
}

/// A snapshot's room, a volume's limits.
fn keep(shared: &Shared, found: &Found) -> Result<Watch, DriverError> {
    if found.record.kind == Kind::Volume {
        if found.record.limits != Limits::default() {
            throttle::apply(shared, found, &found.record.limits)?;
        }
        return Ok(Watch::Events);
    }
    let Layout::CowSnapshot { origin } = &found.lv().layout else {
        return Ok(Watch::Events);
    };
    let Some(cow) = shared.lvm.status(found.vg(), found.lv())?.cow else {
        return Ok(Watch::Events);
    };
    if cow.invalid {
        return Ok(Watch::Events);
    }
    if cow.used * 100 >= cow.total * GROW_SNAPSHOT_AT {
        let id = found.vg().uuid;
        shared
            .groups
            .change(&id, || grow_snapshot(shared, found, origin))?;
    }
    // The kernel tells of a snapshot only when it is lost.
    Ok(Watch::Closely)
}

fn grow_snapshot(shared: &Shared, found: &Found, origin: &str) -> Result<(), DriverError> {
    let group = shared.groups.by_id(&found.vg().uuid)?;
    let origin = group.vg.lv_named(origin).map_or(4, |lv| lv.extents);
    // A copy of every chunk and its table: never more than this is of use.
    let most = origin + origin.div_ceil(255) + 1;
    let more = origin.div_ceil(4).min(group.vg.free_extents());
    let to_extents = (found.lv().extents + more).min(most);
    if to_extents > found.lv().extents {
        let lv = found.lv().uuid;
        let on = Vec::new();
        let command = Command::Extend { lv, to_extents, on };
        shared.lvm.run(&group.vg.uuid, &command)?;
    }
    Ok(())
}
