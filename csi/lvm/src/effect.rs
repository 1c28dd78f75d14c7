//! Whether a command has done its work, and if not, why: from the metadata and from device-mapper.

use std::io;

use crate::argv::{find, needs};
use crate::dm::DeviceMapper;
use crate::{Command, Layout, LvUuid, LvmError, Result, Vg, probe};

/// Bytes that one more volume may take of the metadata, with the tags that it may have.
const ONE_MORE: u64 = 4096;

/// How far a command got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// All is there.
    Done,
    /// The metadata has it, the kernel has not.
    Half(LvUuid),
    /// Nothing.
    None,
}

/// How far it got, for a command that makes nothing new also before it ran.
pub(crate) fn effect(vg: &Vg, command: &Command, dm: Option<&DeviceMapper>) -> io::Result<Effect> {
    let all = |done: bool| if done { Effect::Done } else { Effect::None };
    Ok(match command {
        // LVM makes a plain volume of the name first.
        Command::CreatePool { name, tags, .. } => all(vg.lv_named(name).is_some_and(|lv| {
            tags.is_subset(&lv.tags) && matches!(lv.layout, Layout::ThinPool { .. })
        })),
        Command::CreateThin { name, tags, .. }
        | Command::Snapshot { name, tags, .. }
        | Command::CowSnapshot { name, tags, .. } => {
            let made = vg.lv_named(name);
            all(made.is_some_and(|lv| tags.is_subset(&lv.tags)))
        }
        Command::CreateThick {
            name, tags, active, ..
        } => {
            let made = vg.lv_named(name).filter(|lv| tags.is_subset(&lv.tags));
            match made {
                Some(lv) if *active => active_as(vg, &lv.uuid, true, dm)?,
                made => all(made.is_some()),
            }
        }
        Command::Extend { lv, to_extents, .. }
        | Command::ExtendPool {
            pool: lv,
            to_extents,
        } => extended(vg, lv, *to_extents, dm)?,
        Command::ExtendPoolMetadata { pool, to_extents } => all(vg.lv(pool).is_some_and(|lv| {
            matches!(&lv.layout, Layout::ThinPool { metadata, .. }
                if vg.lv_named(metadata).is_some_and(|lv| lv.extents >= *to_extents))
        })),
        Command::SetWhenFull {
            pool,
            when_full: wanted,
        } => all(vg.lv(pool).is_some_and(
            |lv| matches!(lv.layout, Layout::ThinPool { when_full, .. } if when_full == *wanted),
        )),
        Command::Remove { lvs } => all(lvs.iter().all(|lv| vg.lv(lv).is_none())),
        Command::Retag { lv, add, remove } => all(vg
            .lv(lv)
            .is_some_and(|lv| add.is_subset(&lv.tags) && remove.is_disjoint(&lv.tags))),
        Command::Rename { lv, to } => all(vg.lv(lv).is_some_and(|lv| lv.name == *to)),
        Command::SetSkipActivation { lv, skip } => {
            all(vg.lv(lv).is_some_and(|lv| lv.skip_activation == *skip))
        }
        Command::Activate { lv } => active_as(vg, lv, true, dm)?,
        Command::Deactivate { lv } => active_as(vg, lv, false, dm)?,
        Command::Refresh { .. } => Effect::None,
    })
}

fn active_as(vg: &Vg, lv: &LvUuid, active: bool, dm: Option<&DeviceMapper>) -> io::Result<Effect> {
    let (Some(lv), Some(dm)) = (vg.lv(lv), dm) else {
        return Ok(Effect::None);
    };
    let status = probe::status(dm, vg, lv)?;
    Ok(match (status.active, active) {
        (true, true) if status.suspended => Effect::Half(lv.uuid),
        (is, wanted) if is == wanted => Effect::Done,
        _ => Effect::None,
    })
}

/// An active volume must have grown in the kernel too.
fn extended(vg: &Vg, lv: &LvUuid, to: u64, dm: Option<&DeviceMapper>) -> io::Result<Effect> {
    let Some(lv) = vg.lv(lv).filter(|lv| lv.extents >= to) else {
        return Ok(Effect::None);
    };
    let Some(dm) = dm else {
        return Ok(Effect::Done);
    };
    let status = probe::status(dm, vg, lv)?;
    // The device of a copy-on-write snapshot is as large as its origin, not as its store.
    let bytes = match &lv.layout {
        Layout::CowSnapshot { .. } => 0,
        _ => vg.bytes(lv),
    };
    Ok(if status.active && status.bytes < bytes {
        Effect::Half(lv.uuid)
    } else {
        Effect::Done
    })
}

/// Refuses what cannot work: what it needs is not there, or what it makes is.
pub(crate) fn possible(vg: &Vg, command: &Command) -> Result<()> {
    match command {
        Command::CreatePool { name, .. }
        | Command::CreateThin { name, .. }
        | Command::CreateThick { name, .. }
        | Command::Snapshot { name, .. }
        | Command::CowSnapshot { name, .. }
        | Command::Rename { to: name, .. }
            if vg.lv_named(name).is_some() =>
        {
            return Err(LvmError::Exists {
                vg: vg.name.clone(),
                name: name.clone(),
            });
        }
        _ => {}
    }
    match command {
        Command::CreateThin { pool: lv, .. }
        | Command::Snapshot { of: lv, .. }
        | Command::CowSnapshot { of: lv, .. }
        | Command::Extend { lv, .. }
        | Command::ExtendPool { pool: lv, .. }
        | Command::ExtendPoolMetadata { pool: lv, .. }
        | Command::SetWhenFull { pool: lv, .. }
        | Command::Retag { lv, .. }
        | Command::Rename { lv, .. }
        | Command::SetSkipActivation { lv, .. }
        | Command::Activate { lv }
        | Command::Refresh { lv } => find(vg, lv).map(drop)?,
        // What is gone is removed, and not active.
        Command::Remove { .. }
        | Command::Deactivate { .. }
        | Command::CreatePool { .. }
        | Command::CreateThick { .. } => {}
    }
    room(vg, command)
}

/// Whether it fits, as far as counting extents tells.
fn room(vg: &Vg, command: &Command) -> Result<()> {
    let Some((wanted, devices, each)) = needs(vg, command) else {
        return Ok(());
    };
    let free = vg.free_extents();
    let wide = vg
        .pvs
        .iter()
        .filter(|pv| pv.free_extents() >= each.max(1))
        .count();
    if wanted > free || (devices > 1 && (wide as u64) < devices) {
        return Err(LvmError::NoSpace {
            vg: vg.name.clone(),
            wanted,
            free,
            extent_size: vg.extent_size,
        });
    }
    Ok(())
}

/// Why a command that ran did not do its work.
pub(crate) fn reason(
    vg: &Vg,
    command: &Command,
    dm: Option<&DeviceMapper>,
    words: LvmError,
) -> LvmError {
    if let Err(error) = possible(vg, command) {
        return error;
    }
    let targets = match command {
        Command::Remove { lvs } => lvs.as_slice(),
        Command::Deactivate { lv } => std::slice::from_ref(lv),
        _ => &[],
    };
    if let Some(error) = targets.iter().find_map(|lv| in_use(vg, lv, command, dm)) {
        return error;
    }
    let area = vg.metadata_area;
    if targets.is_empty() && area.size > 0 && area.used + ONE_MORE > area.size {
        return LvmError::MetadataFull {
            vg: vg.name.clone(),
            used: area.used,
            size: area.size,
        };
    }
    words
}

fn in_use(vg: &Vg, lv: &LvUuid, command: &Command, dm: Option<&DeviceMapper>) -> Option<LvmError> {
    let lv = vg.lv(lv)?;
    let error = |by: String| {
        Some(LvmError::InUse {
            vg: vg.name.clone(),
            lv: lv.name.clone(),
            by,
        })
    };
    if let Command::Remove { lvs } = command {
        let mut depend = vg.cow_snapshots_of(&lv.name).chain(vg.thins_of(&lv.name));
        if let Some(on) = depend.find(|on| !lvs.contains(&on.uuid)) {
            return error(format!("{} depends on it", on.name));
        }
    }
    let status = probe::status(dm?, vg, lv).ok()?;
    if status.active && status.open > 0 {
        return error(format!("it is open {} times", status.open));
    }
    None
}
