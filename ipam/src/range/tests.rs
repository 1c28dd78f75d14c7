use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

#[test]
fn ends_and_gateway_have_host_locals_defaults() {
    let v4 = Range::new(net("10.1.2.0/24"), None, None, None).unwrap();
    assert_eq!(
        (v4.to_string().as_str(), v4.gateway()),
        ("10.1.2.1-10.1.2.254", Some(ip("10.1.2.1")))
    );
    let v6 = Range::new(net("fd00::/64"), None, None, None).unwrap();
    assert_eq!(v6.to_string(), "fd00::1-fd00::ffff:ffff:ffff:ffff");
    assert_eq!(Range::pods(net("10.1.2.0/24")).unwrap().gateway(), None);
}

#[test]
fn refused_ranges_name_value_and_legal_range() {
    let text = |subnet, start: Option<&str>, end: Option<&str>| {
        Range::new(net(subnet), start.map(ip), end.map(ip), None)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        text("10.1.2.0/31", None, None),
        "subnet 10.1.2.0/31 is too small to allocate from; the longest prefix is /30 for IPv4, /126 for IPv6"
    );
    assert_eq!(
        text("10.1.2.3/24", None, None),
        "subnet 10.1.2.3/24 has host bits set; its network address is 10.1.2.0/24"
    );
    assert_eq!(
        text("10.1.2.0/24", Some("10.1.3.1"), None),
        "rangeStart 10.1.3.1 is outside of subnet 10.1.2.0/24"
    );
    assert_eq!(
        text("10.1.2.0/24", None, Some("fd00::1")),
        "rangeEnd fd00::1 is outside of subnet 10.1.2.0/24"
    );
    assert_eq!(
        text("10.1.2.0/24", Some("10.1.2.9"), Some("10.1.2.8")),
        "rangeEnd 10.1.2.8 comes before rangeStart 10.1.2.9"
    );
}

#[test]
fn refused_sets_name_both_ranges() {
    let range = |subnet| Range::new(net(subnet), None, None, None).unwrap();
    let text = |ranges| RangeSet::new(ranges).unwrap_err().to_string();
    assert_eq!(
        text(vec![]),
        "the range set is empty; give at least one range with a subnet"
    );
    assert_eq!(
        text(vec![range("10.1.0.0/22"), range("10.1.2.0/24")]),
        "ranges 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap"
    );
    assert_eq!(
        text(vec![range("10.1.0.0/30"), range("fd00::/126")]),
        "mixed address families: 10.1.0.1-10.1.0.2 and fd00::1-fd00::3; put them into two range sets"
    );
}

#[test]
fn addresses_that_no_host_can_use_are_special_even_inside_of_the_ends() {
    let range = Range::new(
        net("10.0.0.0/29"),
        Some(ip("10.0.0.0")),
        Some(ip("10.0.0.7")),
        None,
    )
    .unwrap();
    let specials: Vec<_> = range.specials().collect();
    assert_eq!(specials, [ip("10.0.0.0"), ip("10.0.0.7"), ip("10.0.0.1")]);
    let range = Range::new(net("fd00::/125"), Some(ip("fd00::")), None, None).unwrap();
    assert_eq!(
        range.special(ip("fd00::")),
        Some("subnet-router anycast address")
    );
    assert_eq!(range.special(ip("fd00::7")), None);
    assert_eq!(range.specials().count(), 2);
}

#[test]
fn positions_run_through_all_ranges_and_back() {
    let range = |subnet| Range::pods(net(subnet)).unwrap();
    let set = RangeSet::new(vec![range("10.0.1.0/30"), range("10.0.0.0/29")]).unwrap();
    assert_eq!(set.size(), 8);
    let ring: Vec<_> = (0..8).map(|p| set.at(p).unwrap()).collect();
    assert_eq!(
        (ring[0], ring[1], ring[2], ring[7]),
        (
            ip("10.0.1.1"),
            ip("10.0.1.2"),
            ip("10.0.0.1"),
            ip("10.0.0.6")
        )
    );
    for (position, address) in ring.iter().enumerate() {
        assert_eq!(set.position(*address), Some(position as u128));
    }
    assert_eq!((set.at(8), set.position(ip("10.0.0.7"))), (None, None));
}

#[test]
fn the_whole_of_ipv6_does_not_overflow() {
    let set = RangeSet::new(vec![Range::pods(net("::/0")).unwrap()]).unwrap();
    assert_eq!(set.size(), u128::MAX);
    assert_eq!(
        set.at(u128::MAX - 1),
        Some(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
    );
}
