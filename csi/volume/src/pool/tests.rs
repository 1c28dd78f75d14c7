use proptest::prelude::*;

use super::*;

const EXTENT: u64 = 4 * MIB;

fn pool() -> Pool {
    Pool {
        data: 10 * GIB,
        data_used: GIB,
        metadata: 64 * MIB,
        metadata_used: MIB,
        chunk: CHUNK,
        promised: 0,
        when_full: WhenFull::Queue,
        usable: true,
    }
}

fn group(free: u64) -> Group {
    Group {
        extent_size: EXTENT,
        free,
        total: 25_600,
    }
}

fn policy(percent: u32) -> Policy {
    Policy {
        overprovision_percent: percent,
        reserve: Reserve::Percent(5),
    }
}

#[test]
fn a_class_promises_its_share_of_what_the_pool_can_have() {
    assert_eq!(largest(&pool(), &policy(100), &group(0)), 10 * GIB);
    assert_eq!(largest(&pool(), &policy(200), &group(2560)), 40 * GIB);
    let promised = Pool {
        promised: 15 * GIB,
        ..pool()
    };
    assert_eq!(largest(&promised, &policy(200), &group(0)), 5 * GIB);
    assert_eq!(
        admit(&promised, &policy(200), &group(0), 6 * GIB)
            .unwrap_err()
            .to_string(),
        "6442450944 bytes are more than the thin pool may promise: 5368709120 bytes are left of \
         21474836480 (200% of what the pool has and can grow to)"
    );
}

#[test]
fn a_pool_that_is_nearly_full_or_broken_takes_nothing() {
    let full = |pool: Pool, free| fill(&pool, &group(free)).unwrap_err().to_string();
    let data = Pool {
        data_used: 96 * GIB / 10,
        ..pool()
    };
    let metadata = Pool {
        metadata_used: 60 * MIB,
        ..pool()
    };
    assert_eq!(
        full(data, 0),
        "the thin pool's data is full to 95% with all it can grow by, 95% is the most for a new \
         volume: add a disk to the volume group or delete volumes"
    );
    assert_eq!(
        full(metadata, 1),
        "the thin pool's metadata is full to 93% with all it can grow by, 90% is the most for a new \
         volume: add a disk to the volume group or delete volumes"
    );
    assert_eq!(fill(&data, &group(2560)), Ok(()));
    assert_eq!(fill(&metadata, &group(100)), Ok(()));
    assert_eq!(
        full(
            Pool {
                usable: false,
                ..pool()
            },
            2560
        ),
        "the thin pool cannot take new volumes: it is read-only, failed or needs a check; see the page \
         on storage, what happens when a pool fills"
    );
    assert_eq!(largest(&data, &policy(1000), &group(0)), 0);
}

#[test]
fn a_class_that_contradicts_its_pool_is_refused() {
    let thin = |chunk, when_full| Layout::Thin {
        pool: None,
        chunk,
        when_full,
        reserve: None,
    };
    assert_eq!(
        agrees(&thin(Some(CHUNK), Some(WhenFull::Queue)), "p", &pool()),
        Ok(())
    );
    assert_eq!(agrees(&Layout::Linear, "p", &pool()), Ok(()));
    let texts = [
        thin(Some(2 * CHUNK), None),
        thin(None, Some(WhenFull::Error)),
    ]
    .map(|layout| agrees(&layout, "p", &pool()).unwrap_err().to_string());
    assert_eq!(
        texts,
        [
            "parameter chunk \"128Ki\": the pool p has 64Ki: leave this away or name another pool",
            "parameter whenFull \"error\": the pool p has queue: leave this away or name another pool",
        ]
    );
}

#[test]
fn metadata_grows_earlier_than_data_and_first() {
    let at = |data: u64, metadata: u64| Pool {
        data_used: pool().data / 100 * data + MIB,
        metadata_used: pool().metadata / 100 * metadata + MIB,
        ..pool()
    };
    let growth = |data, metadata, free| {
        let growth = grow(&at(data, metadata), &group(free));
        (growth.metadata, growth.data)
    };
    assert_eq!(growth(60, 40, 2560), (0, 0));
    assert_eq!(growth(60, 60, 2560), (16, 0));
    assert_eq!(growth(80, 40, 2560), (0, 640));
    assert_eq!(growth(80, 60, 20), (10, 0));
    assert_eq!(growth(80, 40, 20), (0, 18));
    assert_eq!(growth(80, 60, 0), (0, 0));
}

#[test]
fn a_group_without_room_makes_no_pool() {
    assert_eq!(
        first(&group(2), None).unwrap_err().to_string(),
        "1073741824 bytes do not fit into the volume group: a thin pool beside its metadata can have 0 \
         bytes at most"
    );
    assert_eq!(
        first(&group(25_600), None),
        Ok(First {
            data: 2560,
            metadata: 5,
            chunk: CHUNK
        })
    );
}

proptest! {
    #[test]
    fn exactly_the_largest_volume_is_admitted(
        data in 1_u64..10_000,
        used in 0_u64..=100,
        promised in 0_u64..30_000,
        free in 0_u64..10_000,
        percent in 100_u32..1000,
    ) {
        let pool = Pool {
            data: data * EXTENT,
            data_used: data * EXTENT / 100 * used,
            promised: promised * EXTENT,
            ..pool()
        };
        let (policy, group) = (policy(percent), group(free));
        let largest = largest(&pool, &policy, &group);
        prop_assert_eq!(largest % EXTENT, 0);
        prop_assert!(admit(&pool, &policy, &group, largest + EXTENT).is_err());
        if largest > 0 {
            prop_assert_eq!(admit(&pool, &policy, &group, largest), Ok(()));
        }
    }

    #[test]
    fn growth_and_new_pools_stay_within_what_is_free(
        data in 0_u64..=100,
        metadata in 0_u64..=100,
        metadata_size in 1_u64..4000,
        free in 0_u64..1_000_000,
    ) {
        let pool = Pool {
            data_used: pool().data / 100 * data,
            metadata: metadata_size * EXTENT,
            metadata_used: metadata_size * EXTENT / 100 * metadata,
            ..pool()
        };
        let group = group(free);
        let growth = grow(&pool, &group);
        prop_assert!(2 * growth.metadata + growth.data <= free);
        prop_assert!(pool.metadata + growth.metadata * EXTENT <= METADATA_MOST.max(pool.metadata));
        if let Ok(first) = first(&group, None) {
            prop_assert!(first.data > 0 && first.metadata > 0);
            prop_assert!(first.data + 2 * first.metadata <= free);
            let (made, left) = first.made(&group, WhenFull::Queue);
            prop_assert_eq!(made.can_have(&left), (free - 2 * first.metadata) * EXTENT);
        }
    }
}
