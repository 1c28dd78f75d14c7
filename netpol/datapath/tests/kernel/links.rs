//! Filters on links: put, noticed when somebody takes them, put back.

use fairlead_cni_netlink::{Event, Group, LinkIndex, Monitor};
use fairlead_e2e_lab::{LIMIT, can_reach_udp, ip, serve_echo, wait_reach, wait_until};
use fairlead_netpol_datapath::{Attached, Datapath, DatapathError, Hook};
use fairlead_netpol_model::tables::{IfIndex, Set};

use crate::bench::Bench;

/// Both filters of a pod.
fn both(link: IfIndex, current: bool) -> [Attached; 2] {
    [Hook::FromPod, Hook::ToPod].map(|hook| Attached {
        link,
        hook,
        current,
    })
}

fn attached(datapath: &mut Datapath) -> Vec<Attached> {
    let mut all = datapath.attached().unwrap();
    all.sort_unstable();
    all
}

/// Runs tc(8) on the node.
fn tc(bench: &Bench, arguments: &str) {
    let arguments: Vec<_> = arguments.split(' ').collect();
    bench.node.output("tc", &arguments).unwrap();
}

#[test]
fn programs_are_put_on_a_link_once_and_taken_off_with_their_qdisc() {
    let bench = Bench::new();
    let mut datapath = bench.open();
    let [one, other] = bench.pods.each_ref().map(|pod| pod.host_end);
    assert_eq!(attached(&mut datapath), []);
    for _ in 0..3 {
        datapath.attach_pod(one).unwrap();
        datapath.attach_wire(other).unwrap();
    }
    let wire = Attached {
        link: other,
        hook: Hook::ToWire,
        current: true,
    };
    assert_eq!(
        attached(&mut datapath),
        [&both(one, true)[..], &[wire]].concat()
    );
    datapath.detach(one).unwrap();
    datapath.detach(one).unwrap();
    assert_eq!(attached(&mut datapath), [wire]);
    let qdiscs = bench.node.netlink().unwrap().qdiscs().unwrap();
    let clsact: Vec<_> = qdiscs
        .iter()
        .filter(|qdisc| qdisc.kind == "clsact")
        .collect();
    assert_eq!(clsact.len(), 1);
    assert_eq!(clsact[0].link, LinkIndex(other));
}

#[test]
fn filters_of_others_stay_and_are_asked_behind_ours() {
    let (bench, mut datapath) = Bench::up();
    let [client, server] = &bench.pods;
    let _echo = serve_echo(&server.ns, 7).unwrap();
    datapath.resync(&bench.open_tables()).unwrap();
    wait_reach(&client.ns, server.at(7)).unwrap();
    // A program that knows no pod, and drops all.
    let stranger = Bench::new();
    drop(stranger.open());
    let pin = stranger.config.dir.join("v1/from_pod");
    let theirs = format!("bpf direct-action object-pinned {}", pin.display());
    let place = "dev fl000000000001 ingress prio 5 protocol all";
    tc(&bench, &format!("filter add {place} {theirs}"));
    assert!(!can_reach_udp(&client.ns, server.at(7)).unwrap());
    datapath.detach(client.host_end).unwrap();
    let index = LinkIndex(client.host_end);
    assert!(bench.node.netlink().unwrap().has_filters(index).unwrap());
}

#[test]
fn a_filter_or_qdisc_that_somebody_deletes_is_told_and_put_back() {
    let (bench, mut datapath) = Bench::up();
    let [one, other] = &bench.pods;
    datapath
        .resync(&bench.tables([(None, None), (Some(Set::DENY), None)]))
        .unwrap();
    let mut monitor = Monitor::open_in(bench.node.netns(), &[Group::Filter]).unwrap();
    let mut told = |link: IfIndex| {
        wait_until(LIMIT, "the change is told", || {
            let events = monitor.read()?;
            Ok(events.contains(&Event::Filters(LinkIndex(link))))
        })
        .unwrap();
    };
    let whole = attached(&mut datapath);
    assert_eq!(whole.len(), 4);

    tc(&bench, "filter del dev fl000000000001 ingress");
    told(one.host_end);
    assert_eq!(attached(&mut datapath).len(), 3);
    tc(&bench, "qdisc del dev fl000000000002 clsact");
    told(other.host_end);
    assert_eq!(attached(&mut datapath), [both(one.host_end, true)[1]]);

    let _echo = serve_echo(&other.ns, 7).unwrap();
    wait_reach(&one.ns, other.at(7)).unwrap();
    for pod in &bench.pods {
        datapath.attach_pod(pod.host_end).unwrap();
    }
    assert_eq!(attached(&mut datapath), whole);
    assert!(!can_reach_udp(&one.ns, other.at(7)).unwrap());
}

#[test]
fn a_filter_of_somebody_else_in_our_place_is_not_ours() {
    let (bench, mut datapath) = Bench::up();
    let one = bench.pods[0].host_end;
    // The same program under another name, as if another network plugin had come.
    let pin = bench.config.dir.join("v1/from_pod");
    let place = "dev fl000000000001 ingress prio 1 handle 1 protocol all";
    tc(&bench, "filter del dev fl000000000001 ingress");
    let object = format!("bpf direct-action object-pinned {}", pin.display());
    tc(&bench, &format!("filter add {place} {object}"));
    let of_one = |all: Vec<Attached>| all.into_iter().filter(|at| at.link == one).count();
    assert_eq!(of_one(attached(&mut datapath)), 1);
    datapath.attach_pod(one).unwrap();
    assert_eq!(of_one(attached(&mut datapath)), 2);
}

#[test]
fn a_link_with_the_ingress_qdisc_is_refused_in_words() {
    let bench = Bench::new();
    let mut datapath = bench.open();
    let link = bench.pods[0].host_end;
    tc(&bench, "qdisc add dev fl000000000001 handle ffff: ingress");
    let error = datapath.attach_pod(link).unwrap_err();
    assert!(
        matches!(error, DatapathError::Occupied { link: at } if at == link),
        "{error}"
    );
    let mut netlink = bench.node.netlink().unwrap();
    assert!(!netlink.has_filters(LinkIndex(link)).unwrap());
}

#[test]
fn a_link_that_is_gone_takes_its_filters_along() {
    let (bench, mut datapath) = Bench::up();
    let [one, other] = bench.pods.each_ref().map(|pod| pod.host_end);
    ip(&bench.node, "link del fl000000000001").unwrap();
    assert_eq!(attached(&mut datapath), both(other, true));
    datapath.detach(one).unwrap();
    let error = datapath.attach_pod(one).unwrap_err();
    let DatapathError::Netlink(error) = error else {
        panic!("{error}")
    };
    assert!(error.is_not_found(), "{error}");
}

#[test]
fn a_link_that_is_gone_is_told_from_one_that_refuses() {
    let bench = Bench::new();
    let mut datapath = bench.open();
    let none = 0x7fff_0000;
    assert!(datapath.attach_wire(none).unwrap_err().is_gone());
    assert!(datapath.attach_pod(none).unwrap_err().is_gone());
    datapath.detach(none).unwrap();
    let taken = bench.pods[0].host_end;
    let name = bench
        .node
        .netlink()
        .unwrap()
        .link_by_index(LinkIndex(taken))
        .unwrap()
        .name;
    tc(&bench, &format!("qdisc add dev {name} ingress"));
    assert!(!datapath.attach_pod(taken).unwrap_err().is_gone());
}
