use proptest::prelude::*;

use super::*;
use crate::wire::{Messages, Writer};

fn ip_of(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::V4 => any::<[u8; 4]>().prop_map(IpAddr::from).boxed(),
        Family::V6 => any::<[u8; 16]>().prop_map(IpAddr::from).boxed(),
    }
}

fn any_family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

fn any_path() -> impl Strategy<Value = Path> {
    let via = proptest::option::of(any_family().prop_flat_map(ip_of));
    (via, 1..=u32::MAX, any::<bool>(), 1..=256_u16).prop_map(|(via, link, onlink, weight)| Path {
        via,
        link: Some(LinkIndex(link)),
        onlink,
        weight,
    })
}

fn any_target() -> impl Strategy<Value = Target> {
    prop_oneof![
        any_path().prop_map(|path| Target::Paths(vec![Path { weight: 1, ..path }])),
        proptest::collection::vec(any_path(), 2..5).prop_map(Target::Paths),
        (1..=u32::MAX).prop_map(Target::NextHop),
        Just(Target::None),
    ]
}

prop_compose! {
    fn any_route()(family in any_family())(
        ip in ip_of(family),
        prefix in 0..=family.bits(),
        target in any_target(),
        table in any::<u32>(),
        protocol in any::<u8>(),
        metric in any::<u32>(),
        source in proptest::option::of(ip_of(family)),
        mtu in proptest::option::of(any::<u32>()),
        locked in any::<bool>(),
        advmss in proptest::option::of(any::<u32>()),
        tos in any::<u8>(),
    ) -> Route {
        Route {
            table, protocol, metric, source, mtu, advmss, tos,
            mtu_locked: locked && mtu.is_some(),
            ..Route::new(crate::types::network(ip, prefix).unwrap(), target)
        }
    }
}

proptest! {
    #[test]
    fn a_route_comes_back_as_written(route in any_route()) {
        let mut w = Writer::default();
        route.write_new(&mut w, 0);
        let message = Messages(w.bytes()).next().unwrap();
        prop_assert_eq!(Route::read(message.body), Some(route));
    }
}

#[test]
fn texts_name_what_a_route_is() {
    let gateway = "10.1.0.1".parse().unwrap();
    let route = Route::via("10.0.0.7/24".parse().unwrap(), gateway, Some(LinkIndex(3))).onlink();
    assert_eq!(
        route.to_string(),
        "route 10.0.0.0/24 via 10.1.0.1 on link 3 onlink"
    );
    let mut route = Route::blackhole("fd00::/64".parse().unwrap());
    route.table = 100;
    assert_eq!(route.to_string(), "blackhole route fd00::/64 in table 100");
}
