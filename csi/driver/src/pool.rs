//! Thin pools: the one a class uses, made at first need, and whether it takes one more volume.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_csi_lvm::{
    Command, Layout as LvLayout, Lv, LvUuid, PoolMode, PoolStatus, Vg, WhenFull as LvmWhenFull,
};
use fairlead_csi_volume::pool::{self, Group as Room, Policy, Pool};
use fairlead_csi_volume::{Layout, WhenFull};

use crate::config::Class;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::{Found, Group};
use crate::{keeper, place};

/// The name of the pool that volumes of the class are in.
pub(crate) fn name<'a>(class: &'a Class, layout: &'a Layout) -> &'a str {
    match layout {
        Layout::Thin {
            pool: Some(pool), ..
        } => pool,
        _ => &class.pool,
    }
}

/// The room around a pool.
pub(crate) fn room(vg: &Vg) -> Room {
    Room {
        extent_size: vg.extent_size,
        free: vg.free_extents(),
        total: vg.extents(),
    }
}

/// What the class says of pools, with what the parameters say instead.
pub(crate) fn policy(class: &Class, layout: &Layout) -> Policy {
    let reserve = match layout {
        Layout::Thin {
            reserve: Some(reserve),
            ..
        } => *reserve,
        _ => class.reserve,
    };
    Policy {
        overprovision_percent: class.overprovision_percent,
        reserve,
    }
}

/// A pool that is being made has this tag: LVM makes its metadata first, as a plain volume of the pool's name.
const MAKING: &str = "fairlead.making";

/// The group without what was left of making a pool: a plain volume goes, a pool loses its tag.
fn finished(shared: &Shared, group: Arc<Group>, name: &str) -> Result<Arc<Group>, DriverError> {
    let left = group
        .vg
        .lv_named(name)
        .filter(|lv| lv.tags.contains(MAKING));
    let Some(lv) = left else {
        return Ok(group);
    };
    let command = if matches!(lv.layout, LvLayout::ThinPool { .. }) {
        Command::Retag {
            lv: lv.uuid,
            add: BTreeSet::new(),
            remove: BTreeSet::from([MAKING.to_owned()]),
        }
    } else {
        Command::Remove { lvs: vec![lv.uuid] }
    };
    Ok(shared
        .groups
        .read(shared.lvm.run(&group.vg.uuid, &command)?))
}

/// The pool of a class, made when it is not there, the class says so, and it can then promise `bytes`. To be
/// called while the group is held for a change.
pub(crate) fn ensure(
    shared: &Shared,
    class: &Class,
    layout: &Layout,
    bytes: u64,
) -> Result<(Arc<Group>, LvUuid), DriverError> {
    let name = name(class, layout);
    let group = finished(shared, shared.groups.named(&class.vg)?, name)?;
    if let Some(lv) = existing(&group.vg, name)? {
        let lv = lv.uuid;
        return Ok((group, lv));
    }
    if !class.create_pool {
        return Err(DriverError::precondition(format!(
            "volume group {} has no thin pool {name}, and class {} does not make one (createPool)",
            class.vg, class.name
        )));
    }
    let (chunk, when_full) = wanted(class, layout);
    let around = room(&group.vg);
    let first = pool::first(&around, chunk).map_err(no_room)?;
    let (empty, left) = first.made(&around, when_full);
    pool::admit(&empty, &policy(class, layout), &left, bytes).map_err(no_room)?;
    let command = Command::CreatePool {
        name: name.to_owned(),
        extents: first.data,
        metadata: first.metadata * group.vg.extent_size,
        chunk: Some(first.chunk),
        // lvcreate of 2.03.16 makes no other; the next command does.
        when_full: LvmWhenFull::Queue,
        tags: BTreeSet::from([MAKING.to_owned()]),
    };
    let vg = shared.lvm.run(&group.vg.uuid, &command)?;
    let group = finished(shared, shared.groups.read(vg), name)?;
    match existing(&group.vg, name)? {
        Some(lv) => {
            let lv = lv.uuid;
            if when_full == WhenFull::Error {
                let when_full = LvmWhenFull::Error;
                let command = Command::SetWhenFull {
                    pool: lv,
                    when_full,
                };
                shared.lvm.run(&group.vg.uuid, &command)?;
            }
            Ok((group, lv))
        }
        None => Err(DriverError::internal(format!(
            "thin pool {name} is gone after LVM had made it"
        ))),
    }
}

/// Chunk and behaviour when full of a pool that is made for the class.
pub(crate) fn wanted(class: &Class, layout: &Layout) -> (Option<u64>, WhenFull) {
    match layout {
        Layout::Thin {
            chunk, when_full, ..
        } => (*chunk, when_full.unwrap_or(class.when_full)),
        _ => (None, class.when_full),
    }
}

/// The pool with a name.
pub(crate) fn existing<'a>(vg: &'a Vg, name: &str) -> Result<Option<&'a Lv>, DriverError> {
    match vg.lv_named(name) {
        None => Ok(None),
        Some(lv) if matches!(lv.layout, LvLayout::ThinPool { .. }) => Ok(Some(lv)),
        Some(lv) => Err(DriverError::precondition(format!(
            "logical volume {} of volume group {} is no thin pool; name another one as pool",
            lv.name, vg.name
        ))),
    }
}

/// Has a pool that the kernel has stopped begin anew, when none of its volumes is in use: LVM runs `thin_check` when
/// it activates the pool, and a pool whose metadata is sound is as it was before its disk failed.
pub(crate) fn revive(shared: &Shared, vg: &Arc<Vg>, pool: &Lv) -> Result<(), DriverError> {
    let Some(status) = shared.lvm.status(vg, pool)?.pool else {
        return Ok(());
    };
    if !status.stopped() || shared.lvm.user_of(vg, pool)?.is_some() {
        return Ok(());
    }
    tracing::warn!(
        pool = pool.name,
        vg = vg.name,
        "stopped by the kernel: it is checked and begins anew"
    );
    let lv = pool.uuid;
    shared.lvm.run(&vg.uuid, &Command::Deactivate { lv })?;
    shared.lvm.run(&vg.uuid, &Command::Activate { lv })?;
    Ok(())
}

/// A pool as it is. One that is not active is activated: its fill is known only then.
pub(crate) fn read(
    shared: &Shared,
    vg: &Arc<Vg>,
    lv: &Lv,
) -> Result<(Pool, PoolMode), DriverError> {
    let mut status = shared.lvm.status(vg, lv)?.pool;
    if status.is_none() {
        let lv = lv.uuid;
        shared.lvm.run(&vg.uuid, &Command::Activate { lv })?;
    }
    if status.is_none() {
        status = shared.lvm.status(vg, lv)?.pool;
    }
    let status = status.ok_or_else(|| {
        DriverError::unavailable(format!(
            "thin pool {} of volume group {} is not active",
            lv.name, vg.name
        ))
    })?;
    of_status(shared, vg, lv, &status)
}

/// A pool as the kernel tells of it.
pub(crate) fn of_status(
    shared: &Shared,
    vg: &Arc<Vg>,
    lv: &Lv,
    status: &PoolStatus,
) -> Result<(Pool, PoolMode), DriverError> {
    let LvLayout::ThinPool {
        chunk, when_full, ..
    } = &lv.layout
    else {
        return Err(DriverError::internal(format!(
            "{} is no thin pool",
            lv.name
        )));
    };
    let pool = Pool {
        data: status.data_total,
        data_used: status.data_used,
        metadata: status.metadata_total,
        metadata_used: status.metadata_used,
        chunk: *chunk,
        promised: shared.groups.read(Arc::clone(vg)).promised(&lv.name),
        when_full: match when_full {
            LvmWhenFull::Queue => WhenFull::Queue,
            LvmWhenFull::Error => WhenFull::Error,
        },
        usable: status.mode == PoolMode::ReadWrite && !status.needs_check,
    };
    Ok((pool, status.mode))
}

/// Whether the pool takes `bytes` more for a volume of the class.
pub(crate) fn admit(
    shared: &Shared,
    class: &Class,
    group: &Arc<Group>,
    pool: &LvUuid,
    layout: &Layout,
    bytes: u64,
) -> Result<(), DriverError> {
    let (vg, state) = grown(shared, group, pool)?;
    pool::agrees(layout, name(class, layout), &state)?;
    pool::admit(&state, &policy(class, layout), &room(&vg), bytes).map_err(no_room)
}

/// A pool and its group, after growth that is due: LVM makes nothing new in a pool that is nearly full.
fn grown(
    shared: &Shared,
    group: &Arc<Group>,
    pool: &LvUuid,
) -> Result<(Arc<Vg>, Pool), DriverError> {
    let of = |vg: &Arc<Vg>| {
        let lv = vg
            .lv(pool)
            .ok_or_else(|| DriverError::internal("the thin pool is gone"))?;
        read(shared, vg, lv)
    };
    if let Some(lv) = group.vg.lv(pool) {
        revive(shared, &group.vg, lv)?;
    }
    let (state, _) = of(&group.vg)?;
    if !pool::is_due(&state) {
        return Ok((Arc::clone(&group.vg), state));
    }
    keeper::grow_now(shared, &group.vg.uuid, pool)?;
    let group = shared.groups.by_id(&group.vg.uuid)?;
    let (state, _) = of(&group.vg)?;
    Ok((Arc::clone(&group.vg), state))
}

/// Whether the pool of an existing thin volume takes `bytes` more; 0 for a snapshot, which is only
/// refused by a pool that is nearly full.
pub(crate) fn admit_beside(shared: &Shared, beside: &Found, bytes: u64) -> Result<(), DriverError> {
    let group = shared.groups.by_id(&beside.vg().uuid)?;
    let LvLayout::Thin { pool, .. } = &beside.lv().layout else {
        return Err(DriverError::internal(format!(
            "{} is not thin",
            beside.lv().name
        )));
    };
    let Some(lv) = existing(&group.vg, pool)? else {
        return Err(DriverError::internal(format!("thin pool {pool} is gone")));
    };
    let (vg, state) = grown(shared, &group, &lv.uuid)?;
    if bytes == 0 {
        return pool::fill(&state, &room(&vg)).map_err(no_room);
    }
    let layout = &beside.record.parameters.layout;
    let class = place::class_of(&shared.config, beside)?;
    pool::admit(&state, &policy(class, layout), &room(&vg), bytes).map_err(no_room)
}

/// There is no room.
pub(crate) fn no_room(full: fairlead_csi_volume::Full) -> DriverError {
    DriverError::Full(full)
}
