//! Ranges that do not overlap: the kernel refuses others.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::element::Element;
use super::key::Key;

/// The fewest elements of an interval set that hold the addresses of `networks` and no others.
///
/// Networks that overlap or touch become one range. Only one family has a place in a set: pass networks
/// of one.
pub fn merge(networks: impl IntoIterator<Item = IpNetwork>) -> Vec<Element> {
    let ranges: BTreeSet<(IpAddr, IpAddr)> = networks
        .into_iter()
        .map(|network| (network.network(), network.broadcast()))
        .collect();
    let mut merged: Vec<(Key, Key)> = Vec::new();
    for (first, last) in ranges {
        let (first, last) = (Key::from(first), Key::from(last));
        match merged.last_mut() {
            Some((_, end)) if touches(end, &first) => {
                if last > *end {
                    *end = last;
                }
            }
            _ => merged.push((first, last)),
        }
    }
    merged
        .into_iter()
        .map(|(first, last)| Element::range(first, last))
        .collect()
}

/// Whether a range from `first` overlaps one up to `end` or follows it without a gap.
fn touches(end: &Key, first: &Key) -> bool {
    end.bytes().len() == first.bytes().len() && end.next().is_none_or(|next| *first <= next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(networks: &[&str]) -> Vec<String> {
        merge(networks.iter().map(|network| network.parse().unwrap()))
            .iter()
            .map(|element| format!("{:?}-{:?}", element.key, element.last.as_ref().unwrap()))
            .collect()
    }

    #[test]
    fn networks_that_overlap_or_touch_become_one() {
        assert_eq!(
            texts(&["10.0.1.0/24", "10.0.0.0/16"]),
            ["10.0.0.0-10.0.255.255"]
        );
        assert_eq!(
            texts(&["10.0.1.0/24", "10.0.0.0/24"]),
            ["10.0.0.0-10.0.1.255"]
        );
        assert_eq!(
            texts(&["10.0.2.0/24", "10.0.0.0/24", "10.0.2.7/32"]),
            ["10.0.0.0-10.0.0.255", "10.0.2.0-10.0.2.255"]
        );
        assert_eq!(
            texts(&["0.0.0.0/0", "255.255.255.255/32"]),
            ["0.0.0.0-255.255.255.255"]
        );
        assert_eq!(
            texts(&["fd00::/64", "fd00:0:0:1::/64"]),
            ["fd00::-fd00::1:ffff:ffff:ffff:ffff"]
        );
        assert!(texts(&[]).is_empty());
    }
}
