use fairlead_cni_netlink::{
    Address, Errno, Family, NextHop, Path, Route, RouteFilter, RouteLookup, Scope, Target,
};

use crate::bench::Bench;

fn addressed() -> Bench {
    let mut bench = Bench::new();
    for ip in ["10.1.0.2/24", "fd00:1::2/64"] {
        let address = Address::new(bench.link, ip.parse().unwrap()).nodad();
        bench.netlink.add_address(&address).unwrap();
    }
    bench
}

fn ours(bench: &mut Bench, family: Family) -> Vec<Route> {
    let filter = RouteFilter {
        protocol: Some(76),
        ..RouteFilter::all(family)
    };
    bench.netlink.routes_where(filter).unwrap()
}

fn marked(route: Route) -> Route {
    Route {
        protocol: 76,
        ..route
    }
}

#[test]
fn every_kind_of_route_is_read_as_it_was_written() {
    let mut bench = addressed();
    bench.ns.loopback_up().unwrap();
    let link = bench.link;
    let four = |ip: &str| ip.parse().unwrap();
    let mut metrics = Route::via(
        four("10.20.0.0/24"),
        "10.1.0.1".parse().unwrap(),
        Some(link),
    );
    (metrics.mtu, metrics.advmss, metrics.mtu_locked) = (Some(1400), Some(1360), true);
    metrics.source = Some("10.1.0.2".parse().unwrap());
    let mut tabled = Route::via(
        four("10.21.0.0/24"),
        "10.1.0.1".parse().unwrap(),
        Some(link),
    );
    (tabled.table, tabled.metric) = (1000, 50);
    let across = Route::via(four("10.22.0.0/24"), "fe80::1".parse().unwrap(), Some(link));
    let onlink = Route::via(
        four("10.23.0.0/24"),
        "169.254.1.1".parse().unwrap(),
        Some(link),
    )
    .onlink();
    let path = |via: &str, weight| Path {
        via: Some(via.parse().unwrap()),
        link: Some(link),
        onlink: false,
        weight,
    };
    let shared = Target::Paths(vec![path("10.1.0.1", 1), path("10.1.0.3", 9)]);
    let shared = Route::new(four("10.24.0.0/24"), shared);
    let routes = [
        metrics,
        tabled,
        across,
        onlink,
        shared,
        Route::on_link(four("10.25.0.1/32"), link),
        Route::blackhole(four("10.26.0.0/24")),
        Route::unreachable(four("10.27.0.0/24")),
        Route::via(
            Family::V4.everything(),
            "10.1.0.1".parse().unwrap(),
            Some(link),
        ),
    ];
    for route in routes.map(marked) {
        bench.netlink.add_route(&route).unwrap();
        assert!(
            ours(&mut bench, Family::V4).contains(&route),
            "{route}: {:#?}",
            ours(&mut bench, Family::V4)
        );
        bench.netlink.delete_route(&route).unwrap();
        assert_eq!(ours(&mut bench, Family::V4), []);
    }
}

#[test]
fn every_kind_of_ipv6_route_is_read_as_it_was_written() {
    let mut bench = addressed();
    bench.ns.loopback_up().unwrap();
    let link = bench.link;
    let six = |ip: &str| ip.parse().unwrap();
    let gateway = "fd00:1::1".parse().unwrap();
    let mut metrics = Route::via(six("fd00:20::/64"), gateway, Some(link));
    (metrics.mtu, metrics.metric) = (Some(1400), 7);
    let onlink = Route::via(
        six("fd00:21::/64"),
        "fd00:9::9".parse().unwrap(),
        Some(link),
    )
    .onlink();
    let routes = [
        metrics,
        onlink,
        Route::via(six("fd00:22::/64"), "fe80::1".parse().unwrap(), Some(link)),
        Route::on_link(six("fd00:23::1/128"), link),
        Route::blackhole(six("fd00:24::/64")),
        Route::unreachable(six("fd00:25::/64")),
        Route::via(Family::V6.everything(), gateway, Some(link)),
    ];
    for route in routes.map(marked) {
        bench.netlink.add_route(&route).unwrap();
        assert!(
            ours(&mut bench, Family::V6).contains(&route),
            "{route}: {:#?}",
            ours(&mut bench, Family::V6)
        );
        bench.netlink.delete_route(&route).unwrap();
        assert_eq!(ours(&mut bench, Family::V6), []);
    }
}

#[test]
fn a_route_with_the_same_key_is_refused_or_replaced() {
    let mut bench = addressed();
    for (network, first, second) in [
        ("10.9.0.0/24", "10.1.0.1", "10.1.0.9"),
        ("fd00:9::/64", "fd00:1::1", "fd00:1::9"),
    ] {
        let to = |gateway: &str| {
            let route = Route::via(
                network.parse().unwrap(),
                gateway.parse().unwrap(),
                Some(bench.link),
            );
            marked(route)
        };
        let (old, new) = (to(first), to(second));
        bench.netlink.add_route(&old).unwrap();
        let error = bench.netlink.add_route(&old).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot create route {network} via {first} on link {}: EEXIST: File exists",
                bench.link
            )
        );
        bench.netlink.replace_route(&new).unwrap();
        assert_eq!(old.key(), new.key());
        assert_eq!(ours(&mut bench, new.family()), [new]);
    }
}

#[test]
fn routes_of_a_table_or_a_link_are_listed_by_the_kernel() {
    let mut bench = addressed();
    let mut route = marked(Route::on_link("10.9.0.0/24".parse().unwrap(), bench.link));
    route.table = 4242;
    bench.netlink.add_route(&route).unwrap();
    let all = RouteFilter::all(Family::V4);
    let table = RouteFilter {
        table: Some(4242),
        ..all
    };
    assert_eq!(bench.netlink.routes_where(table).unwrap(), [route]);
    for family in Family::ALL {
        let missing = RouteFilter {
            table: Some(4243),
            ..RouteFilter::all(family)
        };
        assert_eq!(bench.netlink.routes_where(missing).unwrap(), []);
    }
    let link = RouteFilter {
        link: Some(bench.link),
        ..all
    };
    let found = bench.netlink.routes_where(link).unwrap();
    assert!(!found.is_empty() && found.iter().all(|route| route.link() == Some(bench.link)));
}

#[test]
fn refusals_of_routes_carry_the_kernels_words() {
    let mut bench = addressed();
    let to = |network: &str, gateway: &str| {
        Route::via(network.parse().unwrap(), gateway.parse().unwrap(), None)
    };
    let error = bench
        .netlink
        .add_route(&to("10.9.0.0/24", "192.0.2.1"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot create route 10.9.0.0/24 via 192.0.2.1: ENETUNREACH: Network is unreachable: Nexthop has invalid gateway"
    );
    let error = bench
        .netlink
        .delete_route(&to("10.9.0.0/24", "10.1.0.1"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot delete route 10.9.0.0/24 via 10.1.0.1: ESRCH: No such process"
    );
    assert!(error.is_not_found());
    let error = bench
        .netlink
        .add_route(&to("fd00:9::/64", "2001:db8::1"))
        .unwrap_err();
    assert_eq!(error.errno(), Some(Errno::EHOSTUNREACH));
}

#[test]
fn the_kernel_answers_which_way_a_packet_goes() {
    let mut bench = addressed();
    let gateway = "10.1.0.1".parse().unwrap();
    let wide = Route::via("10.64.0.0/10".parse().unwrap(), gateway, Some(bench.link));
    bench.netlink.add_route(&wide).unwrap();

    let direct = bench
        .netlink
        .route_to("10.1.0.77".parse().unwrap())
        .unwrap();
    assert_eq!((direct.link(), direct.gateway()), (Some(bench.link), None));
    assert_eq!(direct.source, Some("10.1.0.2".parse().unwrap()));
    let far = bench
        .netlink
        .route_to("10.64.5.5".parse().unwrap())
        .unwrap();
    assert_eq!(
        (far.link(), far.gateway(), far.table),
        (Some(bench.link), Some(gateway), 254)
    );
    let entry = RouteLookup {
        entry: true,
        ..RouteLookup::to("10.64.5.5".parse().unwrap())
    };
    assert_eq!(
        bench.netlink.lookup(&entry).unwrap().destination,
        wide.destination
    );
    let six = bench
        .netlink
        .route_to("fd00:1::77".parse().unwrap())
        .unwrap();
    assert_eq!(
        (six.link(), six.gateway(), six.scope),
        (Some(bench.link), None, Scope::Universe)
    );

    let error = bench
        .netlink
        .route_to("203.0.113.1".parse().unwrap())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot look up route to 203.0.113.1: ENETUNREACH: Network is unreachable"
    );
}

#[test]
fn routes_share_a_nexthop_object() {
    let mut bench = addressed();
    let mut object = NextHop::via(7_600_001, "10.1.0.1".parse().unwrap(), bench.link);
    object.protocol = 76;
    bench.netlink.add_next_hop(&object).unwrap();
    let found = bench.netlink.next_hops().unwrap();
    assert_eq!(
        found,
        [NextHop {
            scope: found[0].scope,
            ..object.clone()
        }]
    );
    let error = bench.netlink.add_next_hop(&object).unwrap_err();
    assert!(error.is_exists(), "{error}");

    let route = marked(Route::by_next_hop(
        "10.9.0.0/24".parse().unwrap(),
        object.id,
    ));
    bench.netlink.add_route(&route).unwrap();
    assert_eq!(ours(&mut bench, Family::V4), [route]);

    let second = NextHop {
        id: 7_600_002,
        via: Some("10.1.0.9".parse().unwrap()),
        ..object.clone()
    };
    bench.netlink.add_next_hop(&second).unwrap();
    let group = NextHop::group(7_600_003, vec![(object.id, 1), (second.id, 5)]);
    bench.netlink.replace_next_hop(&group).unwrap();
    let found = bench.netlink.next_hops().unwrap();
    assert_eq!(
        found.iter().find(|o| o.id == group.id).unwrap().group,
        group.group
    );

    bench.netlink.delete_next_hop(object.id).unwrap();
    assert_eq!(ours(&mut bench, Family::V4), []);
    let error = bench.netlink.delete_next_hop(object.id).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot delete nexthop 7600001: ENOENT: No such file or directory"
    );
}

#[test]
fn many_addresses_are_asked_about_at_once_and_answered_in_their_order() {
    let mut bench = addressed();
    let mut route = Route::via(
        "10.9.0.0/16".parse().unwrap(),
        "10.1.0.1".parse().unwrap(),
        Some(bench.link),
    );
    route.mtu = Some(1400);
    bench.netlink.add_route(&route).unwrap();
    let asked: Vec<std::net::IpAddr> = (0..1000_u16)
        .map(|n| {
            let text = match n % 4 {
                0 => "10.1.0.7",
                1 => "192.0.2.1",
                2 => "10.9.1.1",
                _ => "fd00:1::7",
            };
            text.parse().unwrap()
        })
        .collect();
    let answers = bench.netlink.routes_to(&asked).unwrap();
    assert_eq!(answers.len(), 1000);
    for (answer, asked) in answers.iter().zip(&asked) {
        if asked.to_string() == "192.0.2.1" {
            assert_eq!(
                answer.as_ref().unwrap_err().to_string(),
                "cannot look up route to 192.0.2.1: ENETUNREACH: Network is unreachable"
            );
            continue;
        }
        let route = answer.as_ref().unwrap();
        assert_eq!(route.destination.ip(), *asked);
        assert_eq!(route.link(), Some(bench.link));
        let far = asked.to_string() == "10.9.1.1";
        assert_eq!(
            (route.gateway().is_some(), route.mtu),
            (far, far.then_some(1400))
        );
    }
    assert!(bench.netlink.routes_to(&[]).unwrap().is_empty());
}
