use fairlead_cni_netlink::{Address, AddressFlags, Family, LinkIndex, Scope};

use crate::bench::Bench;

#[test]
fn addresses_of_both_families_are_there_at_once_without_detection() {
    let mut bench = Bench::new();
    for ip in ["10.1.2.3/24", "fd00:1::3/64"] {
        let address = Address::new(bench.link, ip.parse().unwrap())
            .nodad()
            .noprefixroute();
        bench.netlink.add_address(&address).unwrap();
    }
    let found = bench.netlink.addresses_of(bench.link).unwrap();
    for ip in ["10.1.2.3/24", "fd00:1::3/64"] {
        let address = found.iter().find(|a| a.ip == ip.parse().unwrap()).unwrap();
        assert!(
            address
                .flags
                .contains(AddressFlags::PERMANENT | AddressFlags::NO_PREFIX_ROUTE)
        );
        assert!(!address.flags.contains(AddressFlags::TENTATIVE));
        assert_eq!(address.scope, Scope::Universe);
    }
    let routed = |bench: &mut Bench, ip: &str| {
        let all = bench.netlink.routes(Family::V4).unwrap();
        all.iter()
            .any(|route| route.destination == ip.parse().unwrap())
    };
    assert!(!routed(&mut bench, "10.1.2.0/24"));
}

#[test]
fn an_address_with_a_peer_keeps_both() {
    let mut bench = Bench::new();
    for (ip, peer) in [
        ("10.1.2.3/32", "10.1.2.4/32"),
        ("fd00::3/128", "fd00::4/128"),
    ] {
        let mut address = Address::new(bench.link, ip.parse().unwrap()).nodad();
        address.peer = Some(peer.parse().unwrap());
        bench.netlink.add_address(&address).unwrap();
        let found = bench.netlink.addresses_of(bench.link).unwrap();
        let found = found.iter().find(|found| found.ip == address.ip).unwrap();
        assert_eq!(found.peer, address.peer);
        bench.netlink.delete_address(&address).unwrap();
    }
}

#[test]
fn the_same_address_twice_is_refused_and_replaced() {
    let mut bench = Bench::new();
    let address = Address::new(bench.link, "10.1.2.3/24".parse().unwrap());
    bench.netlink.add_address(&address).unwrap();
    let error = bench.netlink.add_address(&address).unwrap_err();
    let text = format!(
        "cannot create address 10.1.2.3/24 on link {}: EEXIST: File exists",
        bench.link
    );
    assert!(error.to_string().starts_with(&text), "{error}");
    bench.netlink.replace_address(&address).unwrap();
    bench.netlink.delete_address(&address).unwrap();
    let error = bench.netlink.delete_address(&address).unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        format!(
            "cannot delete address 10.1.2.3/24 on link {}: EADDRNOTAVAIL: Cannot assign requested address: ipv4: Address not found",
            bench.link
        )
    );
}

#[test]
fn addresses_of_a_link_that_is_not_there_are_an_error() {
    let mut bench = Bench::new();
    let error = bench.netlink.addresses_of(LinkIndex(9999)).unwrap_err();
    assert!(error.is_not_found(), "{error}");
    assert_eq!(
        error.to_string(),
        "cannot list addresses of link 9999: ENODEV: No such device"
    );
}
