//! Keeps pools and copy-on-write snapshots from filling while the group has room, and limits in force.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_csi_lvm::{Command, Layout, Lv};
use fairlead_csi_volume::pool::{self, Growth};
use fairlead_csi_volume::{Kind, Limits};

use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::{Found, Group};
use crate::pool::{read, room};
use crate::throttle;

/// A snapshot's store grows from this fill on, by a quarter of its origin.
const GROW_SNAPSHOT_AT: u64 = 70;

/// Looks at everything once. What fails is told and tried again at the next turn.
pub(crate) fn turn(shared: &Shared) {
    for group in shared.groups.readable() {
        for lv in pools(shared, &group) {
            if let Err(error) = grow(shared, &group, lv) {
                tracing::warn!(pool = lv.name, vg = group.vg.name, "cannot grow: {error}");
            }
        }
        for found in group.all(&shared.config.cluster) {
            if let Err(error) = keep(shared, &found) {
                tracing::warn!(id = %found.id(), "cannot be kept: {error}");
            }
        }
    }
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

fn grow(shared: &Shared, group: &Arc<Group>, lv: &Lv) -> Result<(), DriverError> {
    if shared.lvm.status(&group.vg, lv)?.pool.is_none() {
        // Nobody uses it.
        return Ok(());
    }
    let (state, _) = read(shared, &group.vg, lv)?;
    if pool::grow(&state, &room(&group.vg)) == Growth::default() {
        return Ok(());
    }
    let id = group.vg.uuid;
    shared.groups.change(&id, || {
        let group = shared.groups.by_id(&id)?;
        let growth = pool::grow(&state, &room(&group.vg));
        let Some(lv) = group.vg.lv(&lv.uuid) else {
            return Ok(());
        };
        if growth.metadata > 0 {
            let now = state.metadata.div_ceil(group.vg.extent_size);
            let to_extents = now + growth.metadata;
            tracing::info!(pool = lv.name, to_extents, "the pool's metadata grows");
            let pool = lv.uuid;
            shared
                .lvm
                .run(&id, &Command::ExtendPoolMetadata { pool, to_extents })?;
        }
        if growth.data > 0 {
            let to_extents = lv.extents + growth.data;
            tracing::info!(pool = lv.name, to_extents, "the pool's data grows");
            let pool = lv.uuid;
            shared
                .lvm
                .run(&id, &Command::ExtendPool { pool, to_extents })?;
        }
        Ok(())
    })
}

/// A snapshot's room, a volume's limits.
fn keep(shared: &Shared, found: &Found) -> Result<(), DriverError> {
    if found.record.kind == Kind::Volume {
        return if found.record.limits == Limits::default() {
            Ok(())
        } else {
            throttle::apply(shared, found, &found.record.limits)
        };
    }
    let Layout::CowSnapshot { origin } = &found.lv().layout else {
        return Ok(());
    };
    let Some(cow) = shared.lvm.status(found.vg(), found.lv())?.cow else {
        return Ok(());
    };
    if cow.invalid || cow.used * 100 < cow.total * GROW_SNAPSHOT_AT {
        return Ok(());
    }
    let id = found.vg().uuid;
    shared.groups.change(&id, || {
        let group = shared.groups.by_id(&id)?;
        let origin = group.vg.lv_named(origin).map_or(4, |lv| lv.extents);
        // A copy of every chunk and its table: never more than this is of use.
        let most = origin + origin.div_ceil(255) + 1;
        let more = origin.div_ceil(4).min(group.vg.free_extents());
        let to_extents = (found.lv().extents + more).min(most);
        if to_extents > found.lv().extents {
            let lv = found.lv().uuid;
            let on = Vec::new();
            shared
                .lvm
                .run(&id, &Command::Extend { lv, to_extents, on })?;
        }
        Ok(())
    })
}
