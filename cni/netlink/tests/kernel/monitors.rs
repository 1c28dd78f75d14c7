use fairlead_cni_netlink::{
    Address, Batch, Event, Group, LinkChange, Mac, Monitor, Neighbour, NextHop, Route, Rule,
};
use fairlead_e2e_lab::wait_until;

use crate::bench::{Bench, name};

/// Reads until an event matches.
fn wait_for(monitor: &mut Monitor, what: &str, matches: impl Fn(&Event) -> bool) {
    wait_until(fairlead_e2e_lab::LIMIT, what, || {
        Ok(monitor.read()?.iter().any(&matches))
    })
    .unwrap();
}

#[test]
fn changes_of_every_kind_are_reported() {
    let mut bench = Bench::new();
    let groups = [
        Group::Link,
        Group::Address,
        Group::Route,
        Group::Neighbour,
        Group::Rule,
        Group::NextHop,
    ];
    let mut monitor = Monitor::open_in(bench.ns.netns(), &groups).unwrap();
    assert_eq!(monitor.read().unwrap(), []);

    let address = Address::new(bench.link, "10.1.0.2/24".parse().unwrap());
    bench.netlink.add_address(&address).unwrap();
    wait_for(
        &mut monitor,
        "address",
        |e| matches!(e, Event::AddressSet(a) if a.ip == address.ip),
    );
    let gateway = "10.1.0.1".parse().unwrap();
    let route = Route::via("10.9.0.0/16".parse().unwrap(), gateway, Some(bench.link));
    bench.netlink.add_route(&route).unwrap();
    wait_for(&mut monitor, "route", |e| {
        *e == Event::RouteSet(route.clone())
    });
    bench.netlink.delete_route(&route).unwrap();
    wait_for(&mut monitor, "route gone", |e| {
        *e == Event::RouteGone(route.clone())
    });
    let neighbour = Neighbour::permanent(bench.link, gateway, Mac([2, 0, 0, 0, 0, 1]));
    bench.netlink.add_neighbour(&neighbour).unwrap();
    wait_for(&mut monitor, "neighbour", |e| {
        *e == Event::NeighbourSet(neighbour.clone())
    });
    bench
        .netlink
        .add_next_hop(&NextHop::via(5, gateway, bench.link))
        .unwrap();
    wait_for(
        &mut monitor,
        "nexthop",
        |e| matches!(e, Event::NextHopSet(n) if n.id == 5),
    );
    let rule = Rule {
        priority: Some(9),
        ..Rule::lookup(fairlead_cni_netlink::Family::V6, 100)
    };
    bench.netlink.add_rule(&rule).unwrap();
    wait_for(&mut monitor, "rule", |e| *e == Event::RuleSet(rule.clone()));
    bench
        .netlink
        .set_link(&LinkChange::of(bench.link).down())
        .unwrap();
    wait_for(
        &mut monitor,
        "link down",
        |e| matches!(e, Event::LinkSet(l) if l.name == name("eth0") && !l.is_up()),
    );
    bench.netlink.delete_link(bench.link).unwrap();
    wait_for(
        &mut monitor,
        "link gone",
        |e| matches!(e, Event::LinkGone(l) if l.index == bench.link),
    );
}

#[test]
fn carrier_loss_at_the_far_end_is_reported() {
    let bench = Bench::new();
    let mut monitor = Monitor::open_in(bench.ns.netns(), &[Group::Link]).unwrap();
    let mut far = bench.far.netlink().unwrap();
    far.set_link(&LinkChange::of(name("eth0")).down()).unwrap();
    wait_for(
        &mut monitor,
        "carrier lost",
        |e| matches!(e, Event::LinkSet(l) if !l.carrier),
    );
}

#[test]
fn lost_changes_are_reported_as_an_overrun() {
    let mut bench = Bench::new();
    bench
        .netlink
        .add_address(&Address::new(bench.link, "10.1.0.2/24".parse().unwrap()))
        .unwrap();
    let mut monitor = Monitor::open_in(bench.ns.netns(), &[Group::Route]).unwrap();
    let mut batch = Batch::new();
    for number in 0..48_000_u32 {
        let [.., high, low] = number.to_be_bytes();
        let network = format!("10.{}.{low}.0/24", 64 + high).parse().unwrap();
        batch.add_route(&Route::via(
            network,
            "10.1.0.1".parse().unwrap(),
            Some(bench.link),
        ));
    }
    bench.netlink.send(&batch).unwrap();
    wait_for(&mut monitor, "overrun", |event| *event == Event::Overrun);
    // The socket goes on after it.
    wait_until(fairlead_e2e_lab::LIMIT, "drained", || {
        Ok(monitor.read()?.is_empty())
    })
    .unwrap();
    let route = Route::on_link("203.0.113.0/24".parse().unwrap(), bench.link);
    bench.netlink.add_route(&route).unwrap();
    wait_for(&mut monitor, "route", |event| {
        *event == Event::RouteSet(route.clone())
    });
}
