use super::*;
use crate::WhenFull;

fn reasons(facts: &Volume) -> Vec<(Severity, &'static str)> {
    volume(facts)
        .iter()
        .map(|finding| (finding.severity, finding.reason))
        .collect()
}

fn thin_facts(mode: PoolMode, used: u64) -> Volume {
    let pool = Pool {
        data: 100 << 20,
        data_used: used << 20,
        metadata: 1 << 20,
        metadata_used: 0,
        chunk: 64 << 10,
        promised: 0,
        when_full: WhenFull::Error,
        usable: mode == PoolMode::ReadWrite,
    };
    let group = Group {
        extent_size: 4 << 20,
        free: 0,
        total: 100,
    };
    Volume {
        pool: Some((mode, pool, group)),
        ..Volume::default()
    }
}

#[test]
fn a_volume_without_faults_has_no_findings() {
    assert_eq!(volume(&Volume::default()), []);
    assert_eq!(reasons(&thin_facts(PoolMode::ReadWrite, 90)), []);
    let raid = Raid {
        legs: "AA".to_owned(),
        synced: (100, 100),
        mismatches: 0,
    };
    let facts = Volume {
        raid: Some(raid),
        cow: Some(Cow::Used(79, 100)),
        ..Volume::default()
    };
    assert_eq!(reasons(&facts), []);
}

#[test]
fn each_mode_of_a_pool_has_its_reason() {
    use Severity::{Degraded, Inaccessible};
    let table = [
        (PoolMode::ReadWrite, Degraded, "PoolNearlyFull"),
        (PoolMode::OutOfData, Inaccessible, "PoolOutOfData"),
        (PoolMode::ReadOnly, Inaccessible, "PoolReadOnly"),
        (PoolMode::NeedsCheck, Inaccessible, "PoolNeedsCheck"),
        (PoolMode::Failed, Inaccessible, "PoolFailed"),
    ];
    for (mode, severity, reason) in table {
        assert_eq!(
            reasons(&thin_facts(mode, 97)),
            [(severity, reason)],
            "{mode:?}"
        );
    }
}

#[test]
fn a_missing_disk_degrades_a_raid_and_stops_everything_else() {
    let missing = |raid| Volume {
        missing_pvs: vec!["q1aPvA".to_owned()],
        raid,
        ..Volume::default()
    };
    assert_eq!(
        reasons(&missing(None)),
        [(Severity::Inaccessible, "DiskMissing")]
    );
    let raid = Raid {
        legs: "AD".to_owned(),
        synced: (50, 100),
        mismatches: 2,
    };
    let facts = missing(Some(raid));
    let expected = [
        "DiskMissing",
        "RaidLegFailed",
        "RaidSyncing",
        "RaidMismatches",
    ];
    assert_eq!(
        reasons(&facts),
        expected.map(|reason| (Severity::Degraded, reason))
    );
    let messages: Vec<_> = volume(&facts)
        .into_iter()
        .map(|finding| finding.message)
        .collect();
    assert_eq!(
        messages,
        [
            "physical volumes are missing: q1aPvA; bring the disks back, or see the page on storage, replacing a disk",
            "1 of 2 legs of the RAID have failed: replace the disk and run lvconvert --repair",
            "the RAID is synced to 50%: until then it does not survive a disk",
            "2 blocks of the RAID differed or failed their checksum",
        ]
    );
}

#[test]
fn the_worst_comes_first() {
    use Severity::{DataLoss, Degraded, Inaccessible};
    let facts = Volume {
        unreachable: Some("volume group data: no answer for 60 s".to_owned()),
        suspended: true,
        cow: Some(Cow::Invalid),
        half_made: Some((10, 20)),
        ..Volume::default()
    };
    assert_eq!(
        reasons(&facts),
        [
            (DataLoss, "SnapshotOverflowed"),
            (Inaccessible, "GroupUnreachable"),
            (Inaccessible, "Suspended"),
            (Degraded, "HalfMade"),
        ]
    );
    let nearly = Volume {
        cow: Some(Cow::Used(80, 100)),
        ..Volume::default()
    };
    assert_eq!(
        volume(&nearly)[0].message,
        "80% of the snapshot's room for changes of its origin is used"
    );
}

#[test]
fn a_group_tells_of_its_disks_and_its_metadata_area() {
    let facts = Storage {
        unreachable: Some("no answer".to_owned()),
        missing_pvs: vec!["q1aPvA".to_owned()],
        area: Some(metadata::Area {
            size: 1 << 20,
            used: 450_000,
        }),
    };
    let findings: Vec<_> = storage(&facts)
        .into_iter()
        .map(|finding| (finding.severity, finding.reason, finding.message))
        .collect();
    assert_eq!(
        findings,
        [
            (
                Severity::Inaccessible,
                "GroupUnreachable",
                "no answer".to_owned()
            ),
            (
                Severity::Degraded,
                "DiskMissing",
                "physical volumes are missing: q1aPvA".to_owned()
            ),
            (
                Severity::Degraded,
                "MetadataAreaNearlyFull",
                "the metadata area is full to 85%: 84 more volumes fit".to_owned()
            ),
        ]
    );
    assert_eq!(storage(&Storage::default()), []);
}
