//! Which addresses the kernel reaches in the same way: those that lie in the same prefixes of routes and rules.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// For each of `addresses` the place of one that stands for all that lie in exactly the same of `prefixes`.
///
/// Prefixes nest or are apart: those that contain an address are its closest one and all around that.
#[must_use]
pub fn alike(mut prefixes: Vec<IpNetwork>, addresses: &[IpAddr]) -> Vec<usize> {
    prefixes.sort_unstable_by_key(|prefix| (prefix.network(), prefix.prefix()));
    let mut order: Vec<usize> = (0..addresses.len()).collect();
    order.sort_unstable_by_key(|place| (addresses[*place], *place));
    let mut prefixes = prefixes.into_iter().peekable();
    let mut around: Vec<IpNetwork> = Vec::new();
    let mut firsts: BTreeMap<(bool, Option<IpNetwork>), usize> = BTreeMap::new();
    let mut alike = vec![0; addresses.len()];
    for place in order {
        let address = addresses[place];
        // Nothing that ends before an address contains a later one.
        while let Some(prefix) = prefixes.next_if(|prefix| prefix.network() <= address) {
            leave(&mut around, prefix.network());
            around.push(prefix);
        }
        leave(&mut around, address);
        let class = (address.is_ipv4(), around.last().copied());
        alike[place] = *firsts.entry(class).or_insert(place);
    }
    alike
}

fn leave(around: &mut Vec<IpNetwork>, address: IpAddr) {
    while around
        .last()
        .is_some_and(|prefix| !prefix.contains(address))
    {
        around.pop();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = IpAddr> {
        // Few bits, so that addresses meet in prefixes.
        prop_oneof![
            any::<u8>().prop_map(|n| Ipv4Addr::new(10, 0, n >> 4, n << 4).into()),
            any::<u8>().prop_map(|n| Ipv6Addr::from(u128::from(n) << 120).into()),
        ]
    }

    fn prefix() -> impl Strategy<Value = IpNetwork> {
        (address(), 0..=128u8).prop_map(|(address, length)| {
            let length = if address.is_ipv4() {
                length % 33
            } else {
                length
            };
            let prefix = IpNetwork::new(address, length).unwrap();
            IpNetwork::new(prefix.network(), length).unwrap()
        })
    }

    proptest! {
        #[test]
        fn those_alike_lie_in_the_same_prefixes_and_others_do_not(
            prefixes in prop::collection::vec(prefix(), 0..24),
            addresses in prop::collection::vec(address(), 0..24),
        ) {
            let lies_in = |address: IpAddr| -> Vec<bool> {
                prefixes.iter().map(|prefix| prefix.contains(address)).collect()
            };
            let class = |address: IpAddr| (address.is_ipv4(), lies_in(address));
            let alike = alike(prefixes.clone(), &addresses);
            for (one, first) in alike.iter().enumerate() {
                for (other, second) in alike.iter().enumerate() {
                    let same = class(addresses[one]) == class(addresses[other]);
                    prop_assert_eq!(first == second, same);
                }
                prop_assert_eq!(alike[*first], *first);
            }
        }
    }

    #[test]
    fn one_stands_for_all_behind_a_route() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let prefixes = ["0.0.0.0/0", "198.18.0.0/24", "198.18.0.1/32", "::/0"];
        let prefixes = prefixes.map(|text| text.parse().unwrap()).to_vec();
        let addresses = [
            ip("192.0.2.7"),
            ip("198.18.0.7"),
            ip("203.0.113.9"),
            ip("198.18.0.1"),
            ip("2001:db8::1"),
            ip("198.18.0.9"),
        ];
        assert_eq!(alike(prefixes, &addresses), [0, 1, 0, 3, 4, 1]);
    }
}
