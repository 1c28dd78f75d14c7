//! The sizes of the configured volume groups, from the cache and from device-mapper: no LVM command.

use std::collections::BTreeSet;
use std::sync::Arc;

use fairlead_csi_lvm::{Layout, PoolMode};
use fairlead_csi_volume::Kind;

use super::{GroupFacts, GroupSizes, PoolSizes};
use crate::driver::Shared;
use crate::groups::Group;
use crate::health;

/// Looks at all configured volume groups.
pub(crate) fn gather(shared: &Shared) -> Vec<GroupFacts> {
    let names: BTreeSet<_> = shared
        .config
        .classes
        .iter()
        .map(|class| &class.vg)
        .collect();
    names
        .into_iter()
        .map(|name| GroupFacts {
            vg: name.clone(),
            known: shared
                .groups
                .peek(name)
                .ok()
                .map(|group| sizes(shared, &group)),
        })
        .collect()
}

fn sizes(shared: &Shared, group: &Arc<Group>) -> GroupSizes {
    let vg = &group.vg;
    let area = health::area(vg);
    let mut sizes = GroupSizes {
        size: vg.extents() * vg.extent_size,
        free: vg.free_extents() * vg.extent_size,
        area: area.usable(),
        area_used: area.used,
        missing_disks: u64::try_from(vg.missing().len()).unwrap_or(u64::MAX),
        ..GroupSizes::default()
    };
    for found in group.all(&shared.config.cluster) {
        match found.record.kind {
            Kind::Volume => sizes.volumes += 1,
            Kind::Snapshot => sizes.snapshots += 1,
        }
    }
    for lv in &vg.lvs {
        if !matches!(lv.layout, Layout::ThinPool { .. }) {
            continue;
        }
        // A pool that is not active has no fill to tell, and is not woken for it.
        let status = shared
            .lvm
            .status(vg, lv)
            .ok()
            .and_then(|status| status.pool);
        sizes.pools.extend(status.map(|status| PoolSizes {
            name: lv.name.clone(),
            data: status.data_total,
            data_used: status.data_used,
            metadata: status.metadata_total,
            metadata_used: status.metadata_used,
            writable: status.mode == PoolMode::ReadWrite && !status.needs_check,
        }));
    }
    sizes
}
