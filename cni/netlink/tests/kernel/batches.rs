use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use fairlead_cni_netlink::{
    Address, Batch, Family, LinkChange, LinkIndex, NetlinkError, Route, RouteFilter,
};

use crate::bench::{Bench, name};

#[test]
fn a_batch_holds_with_one_acknowledgement() {
    let mut bench = Bench::new();
    let mut batch = Batch::new();
    batch.set_link(&LinkChange::of(bench.link).up());
    batch.add_address(&Address::new(bench.link, "10.1.0.2/24".parse().unwrap()));
    batch.add_route(&Route::via(
        "10.2.0.0/16".parse().unwrap(),
        "10.1.0.1".parse().unwrap(),
        None,
    ));
    assert_eq!(batch.len(), 3);
    bench.netlink.send(&batch).unwrap();
    let route = bench.netlink.route_to("10.2.3.4".parse().unwrap()).unwrap();
    assert_eq!(route.gateway(), Some("10.1.0.1".parse().unwrap()));
    bench.netlink.send(&Batch::new()).unwrap();
}

#[test]
fn a_refusal_in_the_middle_of_a_batch_is_put_down_to_its_object() {
    let mut bench = Bench::new();
    let good = Address::new(bench.link, "10.1.0.2/24".parse().unwrap());
    let bad = Address::new(LinkIndex(9999), "10.1.0.3/24".parse().unwrap());
    let mut batch = Batch::new();
    batch.add_address(&good);
    batch.add_address(&bad);
    batch.delete_link(name("nothing"));
    batch.set_link(&LinkChange::of(bench.link).mtu(1400));
    let failures = bench.netlink.send_each(&batch).unwrap();
    let texts: Vec<_> = failures
        .iter()
        .map(|f| format!("{}: {}", f.index, f.error))
        .collect();
    assert_eq!(
        texts,
        [
            "1: cannot create address 10.1.0.3/24 on link 9999: ENODEV: No such device: ipv4: Device not found",
            "2: cannot delete link nothing: ENODEV: No such device",
        ]
    );
    assert_eq!(bench.netlink.link_by_index(bench.link).unwrap().mtu, 1400);

    let error = bench.netlink.send(&batch).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("cannot create address 10.1.0.2/24"),
        "{error}"
    );
}

#[test]
fn what_netlink_cannot_hold_is_not_sent() {
    let mut bench = Bench::new();
    let long = LinkChange::of(name("eth0")).alias("x".repeat(70_000));
    assert_eq!(
        bench.netlink.set_link(&long).unwrap_err().to_string(),
        "cannot send link eth0: one attribute is over netlink's limit of 65,535 bytes; split it"
    );
}

#[test]
fn a_list_is_whole_while_others_change_it() {
    let mut bench = Bench::new();
    let address = Address::new(bench.link, "10.1.0.2/24".parse().unwrap());
    bench.netlink.add_address(&address).unwrap();
    let stay: Vec<_> = (0..2000)
        .map(|number| numbered(bench.link, number))
        .collect();
    let mut batch = Batch::new();
    for route in &stay {
        batch.add_route(route);
    }
    bench.netlink.send(&batch).unwrap();

    let stop = AtomicBool::new(false);
    let mut other = bench.ns.netlink().unwrap();
    let churn = numbered(bench.link, 2001);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                other.add_route(&churn).unwrap();
                other.delete_route(&churn).unwrap();
            }
        });
        for _ in 0..20 {
            let filter = RouteFilter {
                protocol: Some(76),
                ..RouteFilter::all(Family::V4)
            };
            match bench.netlink.routes_where(filter) {
                Ok(found) => {
                    let found: HashSet<_> = found.into_iter().collect();
                    assert!(stay.iter().all(|route| found.contains(route)));
                }
                Err(error) => assert!(matches!(error, NetlinkError::Unsteady { .. }), "{error}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// One of 32,768 routes.
fn numbered(link: LinkIndex, number: u16) -> Route {
    let [high, low] = number.to_be_bytes();
    let network = format!("10.{}.{low}.0/24", 64 + high).parse().unwrap();
    let route = Route::via(network, "10.1.0.1".parse().unwrap(), Some(link));
    Route {
        protocol: 76,
        ..route
    }
}

#[test]
fn thousands_of_routes_go_and_are_refused_one_by_one() {
    let mut bench = Bench::new();
    bench
        .netlink
        .add_address(&Address::new(bench.link, "10.1.0.2/24".parse().unwrap()))
        .unwrap();
    let mut batch = Batch::new();
    for number in 0..3000 {
        batch.add_route(&numbered(bench.link, number));
    }
    bench.netlink.send(&batch).unwrap();
    let filter = RouteFilter {
        protocol: Some(76),
        ..RouteFilter::all(Family::V4)
    };
    assert_eq!(bench.netlink.routes_where(filter).unwrap().len(), 3000);
    let failures = bench.netlink.send_each(&batch).unwrap();
    assert_eq!(failures.len(), 3000);
    assert!(
        failures
            .iter()
            .enumerate()
            .all(|(index, f)| f.index == index && f.error.is_exists())
    );
}
