//! What is wrong with a volume or with a volume group, from statuses.
//!
//! A finding has the specification's kind (csi.proto, `VolumeHealthErrorType`, `StorageHealthErrorType`),
//! a reason in CamelCase that never changes, and a message for people. No findings is healthy.

#[cfg(test)]
mod tests;

use crate::metadata;
use crate::pool::{self, Group, Pool};

/// How bad it is, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but something is lost or near its end.
    Degraded,
    /// Cannot be read or written now.
    Inaccessible,
    /// Some content is lost.
    DataLoss,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Why, as one word for machines.
    pub reason: &'static str,
    /// Why, for people: what to do next stands in it.
    pub message: String,
}

fn finding(severity: Severity, reason: &'static str, message: impl Into<String>) -> Finding {
    Finding {
        severity,
        reason,
        message: message.into(),
    }
}

/// What device-mapper's `raid` target says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raid {
    /// A character for each leg: `A` alive and in sync, `a` alive, `D` dead (dm-raid.rst).
    pub legs: String,
    /// Synced of how many sectors.
    pub synced: (u64, u64),
    /// Mismatches or failed checksums that were seen.
    pub mismatches: u64,
}

/// What device-mapper's `snapshot` target says of a thick snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cow {
    /// Used and all sectors.
    Used(u64, u64),
    /// It overflowed or broke: nothing can be read from it.
    Invalid,
}

/// What is known of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Volume {
    /// The volume group cannot be read; the reason stands in it.
    pub unreachable: Option<String>,
    /// Physical volumes below it that are missing.
    pub missing_pvs: Vec<String>,
    /// It is suspended, and nobody of ours is at work on it.
    pub suspended: bool,
    /// Its RAID.
    pub raid: Option<Raid>,
    /// Its thin pool.
    pub pool: Option<(PoolMode, Pool, Group)>,
    /// Its copy-on-write store.
    pub cow: Option<Cow>,
    /// The smaller size that a half-made volume still has, and the size that it should have.
    pub half_made: Option<(u64, u64)>,
}

/// The mode of a thin pool (`thin-provisioning.rst`, status).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// `rw`.
    ReadWrite,
    /// `out_of_data_space`.
    OutOfData,
    /// `ro`.
    ReadOnly,
    /// `needs_check` is set.
    NeedsCheck,
    /// `Fail`.
    Failed,
}

/// The findings of a volume, worst first.
#[must_use]
pub fn volume(facts: &Volume) -> Vec<Finding> {
    use Severity::{Degraded, Inaccessible};
    let mut findings = Vec::new();
    if let Some(why) = &facts.unreachable {
        findings.push(finding(Inaccessible, "GroupUnreachable", why.clone()));
    }
    let redundant = facts.raid.is_some();
    if !facts.missing_pvs.is_empty() {
        let severity = if redundant { Degraded } else { Inaccessible };
        let message = format!(
            "physical volumes are missing: {}; bring the disks back, or see the page on storage, \
             replacing a disk",
            facts.missing_pvs.join(", ")
        );
        findings.push(finding(severity, "DiskMissing", message));
    }
    if facts.suspended {
        findings.push(finding(
            Inaccessible,
            "Suspended",
            "the device is suspended: reads and writes wait until it is resumed",
        ));
    }
    findings.extend(facts.raid.iter().flat_map(raid));
    if let Some((mode, pool, group)) = &facts.pool {
        findings.extend(thin(*mode, pool, group));
    }
    findings.extend(facts.cow.and_then(cow));
    if let Some((is, wanted)) = facts.half_made {
        findings.push(finding(
            Degraded,
            "HalfMade",
            format!(
                "the volume has {is} bytes and was asked to have {wanted}: creation is not finished"
            ),
        ));
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

fn raid(raid: &Raid) -> Vec<Finding> {
    let mut findings = Vec::new();
    let dead = raid.legs.bytes().filter(|leg| *leg == b'D').count();
    let legs = raid.legs.len();
    if dead > 0 {
        findings.push(finding(
            Severity::Degraded,
            "RaidLegFailed",
            format!(
                "{dead} of {legs} legs of the RAID have failed: replace the disk and run lvconvert --repair"
            ),
        ));
    }
    let (synced, all) = raid.synced;
    if synced < all {
        let percent = u128::from(synced) * 100 / u128::from(all.max(1));
        findings.push(finding(
            Severity::Degraded,
            "RaidSyncing",
            format!("the RAID is synced to {percent}%: until then it does not survive a disk"),
        ));
    }
    if raid.mismatches > 0 {
        findings.push(finding(
            Severity::Degraded,
            "RaidMismatches",
            format!(
                "{} blocks of the RAID differed or failed their checksum",
                raid.mismatches
            ),
        ));
    }
    findings
}

/// The findings of a thin pool; they are those of each volume in it.
#[must_use]
pub fn thin(mode: PoolMode, pool: &Pool, group: &Group) -> Vec<Finding> {
    use Severity::{Degraded, Inaccessible};
    let bad = match mode {
        PoolMode::ReadWrite => None,
        PoolMode::OutOfData => Some((
            "PoolOutOfData",
            "the thin pool has no room: writes wait or fail; add a disk to the volume group or extend the pool",
        )),
        PoolMode::ReadOnly => Some((
            "PoolReadOnly",
            "the thin pool is read-only, as after its metadata was full: extend its metadata",
        )),
        PoolMode::NeedsCheck => Some((
            "PoolNeedsCheck",
            "the thin pool's metadata needs a check: unmount its volumes and run lvconvert --repair",
        )),
        PoolMode::Failed => Some((
            "PoolFailed",
            "the thin pool has failed: nothing in it can be read; unmount its volumes and run lvconvert --repair",
        )),
    };
    let mut findings: Vec<_> = bad
        .into_iter()
        .map(|(reason, message)| finding(Inaccessible, reason, message))
        .collect();
    // A pool that is not read-write says so already; its fill would only repeat it.
    if mode == PoolMode::ReadWrite
        && let Err(full) = pool::fill(
            &Pool {
                usable: true,
                ..*pool
            },
            group,
        )
    {
        findings.push(finding(Degraded, "PoolNearlyFull", full.to_string()));
    }
    findings
}

fn cow(cow: Cow) -> Option<Finding> {
    match cow {
        Cow::Invalid => Some(finding(
            Severity::DataLoss,
            "SnapshotOverflowed",
            "the snapshot's room for changes of its origin was used up: its content is lost; delete it",
        )),
        Cow::Used(used, all) => {
            let percent = u128::from(used) * 100 / u128::from(all.max(1));
            (percent >= 80).then(|| {
                finding(
                    Severity::Degraded,
                    "SnapshotNearlyFull",
                    format!("{percent}% of the snapshot's room for changes of its origin is used"),
                )
            })
        }
    }
}

/// What is known of a volume group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Storage {
    /// It cannot be read; the reason stands in it.
    pub unreachable: Option<String>,
    /// Physical volumes that are missing.
    pub missing_pvs: Vec<String>,
    /// Its metadata area.
    pub area: Option<metadata::Area>,
}

/// The findings of a volume group: `Inaccessible` is the specification's `STORAGE_UNREACHABLE`, others are
/// `STORAGE_DEGRADED`.
#[must_use]
pub fn storage(facts: &Storage) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(why) = &facts.unreachable {
        findings.push(finding(
            Severity::Inaccessible,
            "GroupUnreachable",
            why.clone(),
        ));
    }
    if !facts.missing_pvs.is_empty() {
        let message = format!(
            "physical volumes are missing: {}",
            facts.missing_pvs.join(", ")
        );
        findings.push(finding(Severity::Degraded, "DiskMissing", message));
    }
    if let Some(area) = facts.area.filter(metadata::Area::is_nearly_full) {
        let message = format!(
            "the metadata area is full to {}%: {} more volumes fit",
            area.percent(),
            area.more(metadata::USUAL)
        );
        findings.push(finding(
            Severity::Degraded,
            "MetadataAreaNearlyFull",
            message,
        ));
    }
    findings
}
