//! ICMP errors: they pass with the flow that the packet inside them is of.

use fairlead_netpol_datapath::layout::SETTING_SHORTCUT;
use fairlead_netpol_datapath::{Hook, Reason};

use crate::frame::{
    Part, SYN, TCP, UDP, echo, icmp, icmp_protocol, inside, ip, packet, tcp, udp, unreachable,
    v4 as ipv4, v6 as ipv6,
};
use crate::node::{A, B, DENY, DROP, NODE, Node, OPEN, REDIRECT, WIRE, v4, v6};
use std::net::IpAddr;

fn isolated() -> Node {
    let mut node = Node::new();
    node.pod(A, DENY, OPEN);
    node.pod(B, OPEN, DENY);
    node
}

#[test]
fn errors_about_what_a_pod_has_sent_reach_it_from_anyone() {
    let mut node = isolated();
    for (of, router) in [
        (v4 as fn(u32) -> IpAddr, ip("192.0.2.254")),
        (v6, ip("2001:db8::fe")),
    ] {
        let sent = [
            packet(of(A), of(99), TCP, &tcp(1000, 80, SYN)),
            packet(of(A), of(99), UDP, &udp(1000, 53)),
            echo(of(A), of(99), true, 7),
            packet(of(A), of(99), 50, &[7; 20]),
        ];
        for sent in sent {
            let error = unreachable(router, of(A), &sent);
            assert!(!node.reaches(WIRE, A, &error), "nothing was sent yet");
            assert!(node.leaves(A, &sent));
            assert!(node.reaches(WIRE, A, &error));
        }
        let other = packet(of(A), of(98), UDP, &udp(1000, 53));
        assert!(!node.reaches(WIRE, A, &unreachable(router, of(A), &other)));
    }
    assert_eq!(node.count(Hook::ToPod, Reason::IcmpError), 10);
}

#[test]
fn a_pod_reports_errors_about_what_it_was_sent() {
    let mut node = isolated();
    for of in [v4, v6] {
        let sent = packet(of(A), of(B), UDP, &udp(1000, 9));
        let error = unreachable(of(B), of(A), &sent);
        assert!(!node.reaches(B, A, &error), "nothing was sent yet");
        assert!(node.reaches(A, B, &sent));
        assert!(node.reaches(B, A, &error), "port unreachable");
    }
    assert_eq!(node.count(Hook::ToPod, Reason::IcmpError), 2);
}

#[test]
fn errors_about_what_went_from_host_end_to_host_end_pass_as_well() {
    for (from, to) in [(A, B), (B, A)] {
        let mut node = Node::new();
        node.pod(from, DENY, OPEN);
        node.pod(to, OPEN, DENY);
        node.settings(SETTING_SHORTCUT, 0);
        for of in [v4, v6] {
            let sent = packet(of(from), of(to), TCP, &tcp(1000, 80, SYN));
            let error = unreachable(of(to), of(from), &sent);
            assert!(!node.reaches(to, from, &error), "nothing was sent yet");
            assert_eq!(node.send(from, &sent).code, REDIRECT);
            assert!(node.reaches(to, from, &error));
            assert_eq!(node.send(from, &sent).code, REDIRECT, "it is a pair still");
        }
    }
}

#[test]
fn an_isolated_pod_sends_no_error_about_what_never_was() {
    let mut node = isolated();
    let forged = packet(ip("192.0.2.1"), v4(B), UDP, &udp(1000, 9));
    assert!(!node.leaves(B, &unreachable(v4(B), ip("192.0.2.1"), &forged)));
    assert!(!node.reaches_node(B, &unreachable(v4(B), ip("192.0.2.1"), &forged)));
    assert_eq!(node.count(Hook::ToWire, Reason::IcmpError), 1);
    assert_eq!(node.count(Hook::ToNode, Reason::IcmpError), 1);
}

#[test]
fn what_tells_too_little_of_a_packet_is_an_error_about_none() {
    let mut node = isolated();
    let sent = packet(v4(A), v4(99), UDP, &udp(1000, 53));
    assert!(node.leaves(A, &sent));
    let error = |body: &[u8]| packet(v4(99), v4(A), 1, &icmp(3, [0; 4], body));
    assert!(
        node.reaches(WIRE, A, &error(&inside(&sent)[..28])),
        "the least that RFC 792 asks for"
    );
    for bytes in [0, 10, 20, 27] {
        assert!(
            !node.reaches(WIRE, A, &error(&inside(&sent)[..bytes])),
            "{bytes}"
        );
    }
    let (IpAddr::V4(a), IpAddr::V4(far)) = (v4(A), v4(99)) else {
        panic!()
    };
    let part = Part {
        id: 1,
        offset: 800,
        more: false,
    };
    let later = ipv4(a, far, UDP, part, &[], &udp(1000, 53));
    assert!(!node.reaches(WIRE, A, &unreachable(v4(99), v4(A), &later)));
}

#[test]
fn what_an_error_holds_does_not_make_it_something_else() {
    let mut node = isolated();
    let (IpAddr::V6(a), IpAddr::V6(far)) = (v6(A), v6(99)) else {
        panic!()
    };
    // Inside, a neighbour advertisement, an error, a listener report: each passes or says something by itself.
    for kind in [136, 1, 143, 200] {
        let inner = ipv6(a, far, 58, 255, &icmp(kind, [0; 4], &[0; 16]));
        assert!(
            !node.reaches(WIRE, A, &unreachable(v6(99), v6(A), &inner)),
            "{kind}"
        );
    }
    for kind in [3, 13] {
        let inner = packet(v4(A), v4(99), 1, &icmp(kind, [0; 4], &[0; 16]));
        assert!(
            !node.reaches(WIRE, A, &unreachable(v4(99), v4(A), &inner)),
            "{kind}"
        );
    }
}

#[test]
fn every_kind_of_error_is_judged_by_its_packet() {
    let mut node = isolated();
    for of in [v4, v6] {
        let kinds: &[u8] = if of(A).is_ipv4() {
            &[3, 4, 5, 11, 12]
        } else {
            &[1, 2, 3, 4]
        };
        let sent = packet(of(A), of(99), UDP, &udp(1000, 53));
        assert!(node.leaves(A, &sent));
        for kind in kinds {
            let error = |about: &[u8]| {
                let message = icmp(*kind, [0, 0, 5, 0], inside(about));
                packet(of(98), of(A), icmp_protocol(of(A)), &message)
            };
            assert!(node.reaches(WIRE, A, &error(&sent)), "{kind}");
            let other = packet(of(A), of(97), UDP, &udp(1000, 53));
            assert!(!node.reaches(WIRE, A, &error(&other)), "{kind}");
        }
    }
}

#[test]
fn an_error_neither_opens_nor_keeps_a_flow() {
    let mut node = isolated();
    let sent = packet(v4(A), v4(99), UDP, &udp(1000, 53));
    assert!(node.leaves(A, &sent));
    node.age(A, 50);
    let before = node.flows("flows_new", A);
    assert!(node.reaches(WIRE, A, &unreachable(v4(98), v4(A), &sent)));
    assert_eq!(node.flows("flows_new", A), before);
    node.age(A, 20);
    assert!(!node.reaches(WIRE, A, &unreachable(v4(98), v4(A), &sent)));
}

#[test]
fn errors_pass_where_nothing_isolates_and_from_the_node() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, DENY, DENY);
    let about = packet(v4(A), v4(99), UDP, &udp(1000, 53));
    assert!(node.reaches(WIRE, A, &unreachable(v4(98), v4(A), &about)));
    let about = packet(v4(99), v4(A), UDP, &udp(1000, 53));
    assert!(node.leaves(A, &unreachable(v4(A), v4(99), &about)));
    let about = packet(v4(B), v4(99), UDP, &udp(1000, 53));
    assert!(node.reaches(NODE, B, &unreachable(v4(98), v4(B), &about)));
}

#[test]
fn an_error_has_its_senders_own_source() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    let about = packet(v4(99), v4(A), UDP, &udp(1000, 53));
    assert_eq!(
        node.send(A, &unreachable(v4(98), v4(99), &about)).code,
        DROP
    );
    assert_eq!(node.count(Hook::FromPod, Reason::Source), 1);
}
