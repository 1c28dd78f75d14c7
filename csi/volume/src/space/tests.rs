use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

/// LVM's allocation for named physical volumes: first in one piece on each, then piece by piece, each
/// time from the longest range of each; the least of them decides (`_find_some_parallel_space`).
/// `None` when LVM gives up. Returns for each leg how much it has on each physical volume.
fn lvm(pvs: &[Vec<u64>], legs: usize, mut leg: u64, positional: usize) -> Option<Vec<Vec<u64>>> {
    let mut pvs = pvs.to_vec();
    let mut taken = vec![vec![0; pvs.len()]; legs];
    let mut homes: Vec<Option<usize>> = vec![None; legs];
    let whole: Vec<usize> = (0..pvs.len())
        .filter(|pv| pvs[*pv].iter().any(|range| *range >= leg))
        .collect();
    if whole.len() >= legs {
        for (index, pv) in whole.into_iter().take(legs).enumerate() {
            taken[index][pv] += leg;
        }
        return Some(taken);
    }
    while leg > 0 {
        let longest = |pv: usize| pvs[pv].iter().copied().max().unwrap_or(0);
        let mut order: Vec<usize> = (0..pvs.len()).filter(|pv| longest(*pv) > 0).collect();
        order.sort_by_key(|pv| std::cmp::Reverse(longest(*pv)));
        let cling: Option<Vec<usize>> = homes
            .iter()
            .map(|home| home.filter(|pv| longest(*pv) > 0))
            .collect();
        let chosen = match cling {
            Some(homes) if positional == legs => homes,
            _ if order.len() < legs => return None,
            _ => order[..legs].to_vec(),
        };
        let piece = chosen.iter().map(|pv| longest(*pv)).min()?.min(leg);
        for (index, pv) in chosen.iter().enumerate() {
            let range = pvs[*pv].iter_mut().max()?;
            *range -= piece;
            taken[index][*pv] += piece;
            homes[index] = Some(*pv);
        }
        leg -= piece;
    }
    Some(taken)
}

fn layouts() -> impl Strategy<Value = Layout> {
    prop_oneof![
        Just(Layout::Linear),
        (2_u32..5).prop_map(|stripes| Layout::Striped { stripes }),
        any::<bool>().prop_map(|integrity| Layout::Raid1 { integrity }),
        (2_u32..4, any::<bool>())
            .prop_map(|(stripes, integrity)| Layout::Raid5 { stripes, integrity }),
    ]
}

fn spaces() -> impl Strategy<Value = Space> {
    let pv = prop::collection::vec(1_u64..400, 0..5).prop_map(|free| PvSpace { free });
    (
        prop::collection::vec(pv, 0..7),
        prop_oneof![Just(4 * MIB), Just(MIB), Just(32 * MIB)],
        0_u64..50,
    )
        .prop_map(|(pvs, extent_size, reserved)| Space {
            extent_size,
            pvs,
            reserved,
        })
}

fn legs(layout: &Layout) -> (usize, u64) {
    match layout {
        Layout::Thin { .. } | Layout::Linear => (1, 1),
        Layout::Striped { stripes } => (*stripes as usize, u64::from(*stripes)),
        Layout::Raid1 { .. } => (2, 1),
        Layout::Raid5 { stripes, .. } => (*stripes as usize + 1, u64::from(*stripes)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_largest_volume_is_one_that_lvm_can_make_and_one_extent_more_is_refused(
        space in spaces(),
        layout in layouts(),
    ) {
        let largest = space.largest(&layout);
        let more = largest + layout.granularity();
        prop_assert!(space.place(&layout, more).is_err());
        if largest == 0 {
            return Ok(());
        }
        let pvs = space.place(&layout, largest).unwrap();
        let named: Vec<_> = pvs.iter().map(|pv| space.pvs[*pv].free.clone()).collect();
        let (count, data) = legs(&layout);
        prop_assert_eq!(largest % data, 0);
        let raid = matches!(layout, Layout::Raid1 { .. } | Layout::Raid5 { .. });
        let leg = largest / data + u64::from(raid);
        let parity = usize::from(matches!(layout, Layout::Raid5 { .. }));
        let taken = lvm(&named, count, leg, count - parity);
        prop_assert!(taken.is_some(), "LVM has no room on {:?} for {} of {}", named, count, leg);
        for leg in taken.unwrap() {
            let homes: Vec<usize> = (0..named.len()).filter(|pv| leg[*pv] > 0).collect();
            if !raid {
                continue;
            }
            prop_assert_eq!(homes.len(), 1, "a leg is on several disks");
            if let Layout::Raid1 { integrity: true } | Layout::Raid5 { integrity: true, .. } = layout {
                let mut ranges = named[homes[0]].clone();
                *ranges.iter_mut().max().unwrap() -= leg[homes[0]];
                let left = ranges.into_iter().max().unwrap();
                prop_assert!(space.integrity_extents(largest / data) <= left);
            }
        }
    }

    #[test]
    fn whatever_is_smaller_fits_too(space in spaces(), layout in layouts(), part in 0_u64..100) {
        let extents = space.largest(&layout) * part / 100;
        prop_assert!(space.place(&layout, extents).is_ok());
    }

    #[test]
    fn the_reserve_stays_free(space in spaces(), layout in layouts()) {
        let (count, data) = legs(&layout);
        let used = space.largest(&layout) / data * count as u64;
        prop_assert!(used <= space.free_extents().saturating_sub(space.reserved));
    }
}

#[test]
fn layouts_need_their_number_of_disks() {
    let disks = |sizes: &[u64]| Space {
        extent_size: 4 * MIB,
        pvs: sizes
            .iter()
            .map(|size| PvSpace { free: vec![*size] })
            .collect(),
        reserved: 0,
    };
    let striped = Layout::Striped { stripes: 2 };
    let raid1 = Layout::Raid1 { integrity: false };
    let raid5 = Layout::Raid5 {
        stripes: 2,
        integrity: false,
    };
    let largest = |sizes: &[u64]| {
        [
            Layout::Linear,
            striped.clone(),
            raid1.clone(),
            raid5.clone(),
        ]
        .map(|layout| disks(sizes).largest(&layout))
    };
    assert_eq!(largest(&[100]), [100, 0, 0, 0]);
    assert_eq!(largest(&[100, 50]), [150, 100, 49, 0]);
    assert_eq!(largest(&[100, 50, 70]), [220, 140, 69, 98]);
    assert_eq!(disks(&[100, 50, 70]).place(&raid1, 69), Ok(vec![0, 2]));
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let space = Space {
        extent_size: 4 * MIB,
        pvs: vec![PvSpace { free: vec![10] }; 2],
        reserved: 0,
    };
    let texts = [
        Layout::Linear,
        Layout::Striped { stripes: 2 },
        Layout::Raid1 { integrity: false },
        Layout::Raid5 {
            stripes: 2,
            integrity: false,
        },
        Layout::Thin {
            pool: None,
            chunk: None,
            when_full: None,
            reserve: None,
        },
    ]
    .map(|layout| space.place(&layout, 100).unwrap_err().to_string());
    let head = "419430400 bytes do not fit into the volume group:";
    assert_eq!(
        texts,
        [
            format!("{head} a linear volume can have 83886080 bytes at most"),
            format!("{head} a volume of 2 stripes can have 83886080 bytes at most"),
            format!("{head} a volume of raid1, on two disks, can have 37748736 bytes at most"),
            format!("{head} a volume of raid5, on 3 disks, can have 0 bytes at most"),
            format!("{head} a thin volume without a pool can have 0 bytes at most"),
        ]
    );
    assert_eq!(
        Full::Volumes {
            volumes: 20,
            limit: 20
        }
        .to_string(),
        "the node has 20 volumes, 20 are allowed (limits.volumes)"
    );
}

#[test]
fn an_lv_grows_on_the_disks_of_its_legs() {
    let space = Space {
        extent_size: 4 * MIB,
        pvs: [10, 20, 30, 40]
            .map(|size| PvSpace {
                free: vec![size / 2, size / 2],
            })
            .to_vec(),
        reserved: 0,
    };
    let striped = Layout::Striped { stripes: 2 };
    let raid5 = Layout::Raid5 {
        stripes: 2,
        integrity: false,
    };
    assert_eq!(space.growth(&Layout::Linear, &[0]), 100);
    assert_eq!(space.growth(&striped, &[1, 3]), 40);
    assert_eq!(
        space.growth(&Layout::Raid1 { integrity: false }, &[0, 3]),
        10
    );
    assert_eq!(space.growth(&raid5, &[1, 2, 3]), 40);
    assert_eq!(
        space.growth(&Layout::Raid1 { integrity: true }, &[2, 3]),
        12
    );
}
