//! What is wrong with a volume: facts of its group and of device-mapper, judged by `csi/volume`.

use fairlead_csi_lvm::{Layout, Lv, PoolMode, PoolStatus, Vg, WhenFull};
use fairlead_csi_volume::health::{self, Cow, Finding, Raid, Volume};
use fairlead_csi_volume::{Kind, Record, pool};

use super::world::{Group, Place};

/// What is wrong with a volume, worst first; nothing is healthy.
#[must_use]
pub(super) fn findings(place: &Place<'_>) -> Vec<Finding> {
    let (group, lv) = (place.group, place.lv);
    let status = place.status();
    let record = place
        .record
        .as_ref()
        .and_then(|record| record.as_ref().ok());
    health::volume(&Volume {
        unreachable: None,
        missing_pvs: if lv.partial {
            group.vg.missing()
        } else {
            Vec::new()
        },
        suspended: status.is_some_and(|status| status.suspended),
        raid: status
            .and_then(|status| status.raid.as_ref())
            .map(|raid| Raid {
                legs: raid.health.clone(),
                synced: raid.in_sync,
                mismatches: raid.mismatches,
            }),
        pool: pool_of(group, lv),
        cow: status.and_then(|status| status.cow).map(|cow| {
            if cow.invalid {
                Cow::Invalid
            } else {
                Cow::Used(cow.used, cow.total)
            }
        }),
        half_made: record.and_then(|record| short(&group.vg, lv, record)),
    })
}

/// The size of a volume that is smaller than it was wanted, and the wanted one.
pub(super) fn short(vg: &Vg, lv: &Lv, record: &Record) -> Option<(u64, u64)> {
    let bytes = vg.bytes(lv);
    (record.kind == Kind::Volume && bytes < record.wanted).then_some((bytes, record.wanted))
}

/// The pool of a thin volume and what device-mapper says of it, while the pool is active.
pub(super) fn pool_status<'a>(group: &'a Group, lv: &Lv) -> Option<(&'a Lv, &'a PoolStatus)> {
    let Layout::Thin { pool, .. } = &lv.layout else {
        return None;
    };
    let pool = group.vg.lv_named(pool)?;
    let status = group.statuses.get(&pool.uuid)?.pool.as_ref()?;
    Some((pool, status))
}

fn pool_of(group: &Group, lv: &Lv) -> Option<(health::PoolMode, pool::Pool, pool::Group)> {
    let vg = &group.vg;
    let (lv, status) = pool_status(group, lv)?;
    let Layout::ThinPool {
        chunk, when_full, ..
    } = &lv.layout
    else {
        return None;
    };
    let mode = match status.mode {
        _ if status.needs_check => health::PoolMode::NeedsCheck,
        PoolMode::ReadWrite => health::PoolMode::ReadWrite,
        PoolMode::ReadOnly => health::PoolMode::ReadOnly,
        PoolMode::OutOfDataSpace => health::PoolMode::OutOfData,
        PoolMode::Failed => health::PoolMode::Failed,
    };
    let pool = pool::Pool {
        data: status.data_total,
        data_used: status.data_used,
        metadata: status.metadata_total,
        metadata_used: status.metadata_used,
        chunk: *chunk,
        // Only what is used counts for the health of volumes that are there.
        promised: 0,
        when_full: match when_full {
            WhenFull::Queue => fairlead_csi_volume::WhenFull::Queue,
            WhenFull::Error => fairlead_csi_volume::WhenFull::Error,
        },
        usable: mode == health::PoolMode::ReadWrite,
    };
    let group = pool::Group {
        extent_size: vg.extent_size,
        free: vg.free_extents(),
        total: vg.extents(),
    };
    Some((mode, pool, group))
}
