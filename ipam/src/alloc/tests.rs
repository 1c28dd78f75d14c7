use proptest::prelude::*;

use super::*;
use crate::range::Range;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(subnets: &[&str]) -> RangeSet {
    let ranges = subnets
        .iter()
        .map(|s| Range::new(s.parse().unwrap(), None, None, None).unwrap());
    RangeSet::new(ranges.collect()).unwrap()
}

fn known(held: &[IpAddr], freed: &[(u64, IpAddr)]) -> Vec<Known> {
    let held = held.iter().map(|address| Known {
        address: *address,
        freed: None,
    });
    let freed = freed.iter().map(|(seq, address)| Known {
        address: *address,
        freed: Some(*seq),
    });
    held.chain(freed).collect()
}

/// As the tested function.
fn next(set: &RangeSet, last: Option<IpAddr>, known: &[Known]) -> Option<IpAddr> {
    super::next(set, last, (known.iter().copied(), known.len()))
}

#[test]
fn the_first_address_is_the_one_after_the_gateway() {
    assert_eq!(
        next(&set(&["10.0.0.0/29"]), None, &known(&[], &[])),
        Some(ip("10.0.0.2"))
    );
}

#[test]
fn the_next_address_follows_the_last_one_and_wraps_round_over_all_ranges() {
    let set = set(&["10.0.0.0/30", "10.0.1.0/30"]);
    assert_eq!(
        next(&set, Some(ip("10.0.0.2")), &known(&[], &[])),
        Some(ip("10.0.1.2"))
    );
    assert_eq!(
        next(&set, Some(ip("10.0.1.2")), &known(&[], &[])),
        Some(ip("10.0.0.2"))
    );
}

#[test]
fn a_last_address_outside_of_the_set_is_ignored() {
    assert_eq!(
        next(
            &set(&["10.0.0.0/29"]),
            Some(ip("10.9.9.9")),
            &known(&[], &[])
        ),
        Some(ip("10.0.0.2"))
    );
}

#[test]
fn freed_addresses_come_last_and_the_one_free_the_longest_first() {
    let set = set(&["10.0.0.0/29"]);
    let freed = [
        (9, ip("10.0.0.4")),
        (7, ip("10.0.0.6")),
        (8, ip("10.0.0.2")),
    ];
    let held = [ip("10.0.0.3")];
    assert_eq!(
        next(&set, Some(ip("10.0.0.3")), &known(&held, &freed)),
        Some(ip("10.0.0.5"))
    );
    let held = [ip("10.0.0.3"), ip("10.0.0.5")];
    assert_eq!(
        next(&set, Some(ip("10.0.0.5")), &known(&held, &freed)),
        Some(ip("10.0.0.6"))
    );
}

#[test]
fn a_48_is_as_quick_as_a_30() {
    let set = set(&["fd00:1:2::/48"]);
    assert_eq!(
        next(
            &set,
            Some(ip("fd00:1:2::ffff")),
            &known(&[ip("fd00:1:2::1:0")], &[])
        ),
        Some(ip("fd00:1:2::1:1"))
    );
    assert_eq!(free(&set, 3), (1 << 80) - 1 - 1 - 3);
}

proptest! {
    #[test]
    fn what_is_given_out_is_always_free_and_none_only_when_nothing_is(
        taken in proptest::collection::vec((0_u128..14, any::<bool>()), 0..40),
        last in 0_u128..14,
    ) {
        let set = set(&["10.0.0.0/29", "10.0.1.0/28"]);
        let mut held = Vec::new();
        let mut freed: Vec<(u64, IpAddr)> = Vec::new();
        for (index, (position, is_held)) in taken.iter().enumerate() {
            let address = set.at(*position).unwrap();
            if held.contains(&address) || freed.iter().any(|(_, known)| *known == address) {
                continue;
            }
            if *is_held { held.push(address) } else { freed.push((index as u64, address)) }
        }
        let usable: Vec<IpAddr> = (0..set.size())
            .map(|p| set.at(p).unwrap())
            .filter(|a| set.range_of(*a).unwrap().special(*a).is_none() && !held.contains(a))
            .collect();
        let got = next(&set, set.at(last), &known(&held, &freed));
        prop_assert_eq!(got.is_some(), !usable.is_empty());
        if let Some(got) = got {
            prop_assert!(usable.contains(&got));
            let fresh = usable.iter().any(|a| freed.iter().all(|(_, f)| f != a));
            prop_assert_eq!(fresh, freed.iter().all(|(_, f)| *f != got));
        }
    }
}
