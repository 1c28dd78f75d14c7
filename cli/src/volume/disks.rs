//! On which disks a logical volume lies.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_csi_lvm::{Lv, Vg};
use serde::Serialize;

/// A disk, and how much of a volume is on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// The disk; none while it is missing.
    pub device: Option<String>,
    /// The physical volume's id.
    pub physical_volume: String,
    /// Bytes there, copies and parity included.
    pub bytes: u64,
}

/// The disks of a volume and of all its parts; a thin volume lies somewhere on those of its pool.
#[must_use]
pub(super) fn shares(vg: &Vg, lv: &Lv) -> Vec<Share> {
    let mut extents: BTreeMap<&str, u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut next = vec![lv];
    while let Some(lv) = next.pop() {
        if !seen.insert(lv.uuid) {
            continue;
        }
        for (pv, range) in &lv.areas {
            *extents.entry(pv).or_default() += range.end - range.start;
        }
        next.extend(lv.parts.iter().filter_map(|part| vg.lv_named(part)));
    }
    let mut shares = Vec::new();
    for pv in &vg.pvs {
        if let Some(extents) = extents.get(pv.name.as_str()) {
            shares.push(Share {
                device: pv
                    .device
                    .as_ref()
                    .map(|device| device.display().to_string()),
                physical_volume: pv.uuid.clone(),
                bytes: extents * vg.extent_size,
            });
        }
    }
    shares
}
