//! Fragments: later ones go as their first does.

use std::net::IpAddr;

use fairlead_netpol_datapath::layout::{Direction, SETTING_SHORTCUT};
use fairlead_netpol_datapath::{Hook, Reason};

use crate::frame::{
    ACK, Part, SYN, TCP, UDP, extension, fragment_header, packet, tcp, udp, v4 as ipv4, v6 as ipv6,
};
use crate::node::{A, B, DENY, DROP, NODE, Node, OPEN, REDIRECT, WIRE, set, v4, v6};

/// A fragment from outside to `B` of either family.
fn to_b(is_v6: bool, protocol: u8, part: Part, payload: &[u8]) -> Vec<u8> {
    between(
        if is_v6 {
            (v6(99), v6(B))
        } else {
            (v4(99), v4(B))
        },
        protocol,
        part,
        payload,
    )
}

fn between(ends: (IpAddr, IpAddr), protocol: u8, part: Part, payload: &[u8]) -> Vec<u8> {
    match ends {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipv4(from, to, protocol, part, &[], payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            ipv6(from, to, 44, 64, &fragment_header(protocol, part, payload))
        }
        _ => unreachable!(),
    }
}

fn first(id: u16) -> Part {
    Part {
        id,
        offset: 0,
        more: true,
    }
}

fn later(id: u16, offset: u16) -> Part {
    Part {
        id,
        offset,
        more: false,
    }
}

/// `B` gets UDP and TCP port 80 from anywhere.
fn port_80() -> Node {
    let mut node = Node::new();
    let rules = Direction {
        ports: 70,
        any: 1 << 1,
        ..set(7)
    };
    node.pod(B, rules, OPEN);
    for protocol in [TCP, UDP] {
        node.page(70, protocol, 0, |low| u8::from(low == 80));
    }
    node
}

#[test]
fn later_fragments_go_as_the_first_did() {
    let mut node = port_80();
    for v6 in [false, true] {
        assert!(node.reaches(WIRE, B, &to_b(v6, UDP, first(1), &udp(1000, 80))));
        assert!(node.reaches(WIRE, B, &to_b(v6, UDP, later(1, 16), &[0; 64])));
        assert!(!node.reaches(WIRE, B, &to_b(v6, UDP, first(2), &udp(1000, 81))));
        assert!(!node.reaches(WIRE, B, &to_b(v6, UDP, later(2, 16), &[0; 64])));
        assert!(node.reaches(WIRE, B, &to_b(v6, TCP, first(3), &tcp(1000, 80, SYN))));
        assert!(node.reaches(WIRE, B, &to_b(v6, TCP, later(3, 24), &[0; 64])));
    }
    assert_eq!(node.count(Hook::ToPod, Reason::Ingress), 4);
}

#[test]
fn a_later_fragment_without_a_first_is_dropped_where_that_matters() {
    let mut node = port_80();
    node.pod(A, OPEN, DENY);
    for v6 in [false, true] {
        let orphan = to_b(v6, UDP, later(9, 800), &[0; 64]);
        assert!(!node.reaches(WIRE, B, &orphan));
        assert!(node.reaches(NODE, B, &orphan), "the node reaches its pods");
        node.change(B, |b| b.ingress = OPEN);
        assert!(node.reaches(WIRE, B, &orphan), "nothing isolates");
        node.change(B, |b| b.ingress = DENY);
    }
    assert_eq!(node.count(Hook::ToPod, Reason::Fragment), 2);
    let out = between((v4(A), v4(99)), UDP, later(9, 800), &[0; 64]);
    assert!(!node.leaves(A, &out));
    assert_eq!(node.count(Hook::ToWire, Reason::Fragment), 1);
}

#[test]
fn identifications_are_told_apart_by_addresses_and_protocol() {
    let mut node = port_80();
    assert!(node.reaches(WIRE, B, &to_b(false, UDP, first(1), &udp(1000, 80))));
    assert!(!node.reaches(WIRE, B, &to_b(false, TCP, later(1, 24), &[0; 64])));
    assert!(!node.reaches(
        WIRE,
        B,
        &between((v4(98), v4(B)), UDP, later(1, 16), &[0; 64])
    ));
    assert!(!node.reaches(WIRE, B, &to_b(false, UDP, later(2, 16), &[0; 64])));
}

#[test]
fn a_first_fragment_too_short_for_its_ports_is_malformed() {
    let mut node = port_80();
    for v6 in [false, true] {
        for (protocol, bytes) in [(UDP, 4), (TCP, 8), (TCP, 16)] {
            let payload = &tcp(1000, 80, ACK)[..bytes];
            assert!(!node.reaches(WIRE, B, &to_b(v6, protocol, first(1), payload)));
        }
    }
    assert_eq!(node.count(Hook::ToPod, Reason::Malformed), 6);
}

#[test]
fn a_fragment_that_would_write_over_tcp_flags_is_malformed() {
    let mut node = port_80();
    for v6 in [false, true] {
        assert!(node.reaches(WIRE, B, &to_b(v6, TCP, first(1), &tcp(1000, 80, SYN))));
        for offset in [8, 16] {
            assert!(!node.reaches(WIRE, B, &to_b(v6, TCP, later(1, offset), &[0xff; 16])));
        }
    }
    assert_eq!(node.count(Hook::ToPod, Reason::Malformed), 4);
}

#[test]
fn a_first_fragment_of_other_ports_is_judged_by_them() {
    let mut node = port_80();
    assert!(node.reaches(WIRE, B, &to_b(false, UDP, first(1), &udp(1000, 80))));
    assert!(!node.reaches(WIRE, B, &to_b(false, UDP, first(1), &udp(1000, 81))));
    assert!(!node.reaches(WIRE, B, &to_b(false, UDP, later(1, 16), &[0; 64])));
}

#[test]
fn extension_headers_of_the_first_fragment_hide_nothing_from_later_ones() {
    let mut node = port_80();
    let part = |part, payload: &[u8]| to_b(true, 60, part, payload);
    assert!(node.reaches(WIRE, B, &part(first(1), &extension(UDP, &udp(1000, 80)))));
    assert!(node.reaches(WIRE, B, &part(later(1, 24), &[0; 64])));
    assert!(!node.reaches(WIRE, B, &part(first(2), &extension(UDP, &udp(1000, 81)))));
    assert!(!node.reaches(WIRE, B, &part(later(2, 24), &[0; 64])));
}

#[test]
fn fragments_of_answers_pass_both_pods() {
    let mut node = Node::new();
    node.pod(A, DENY, OPEN);
    node.pod(B, OPEN, DENY);
    let there = (v6(A), v6(B));
    let back = (v6(B), v6(A));
    assert!(node.reaches(A, B, &between(there, UDP, Part::default(), &udp(1000, 53))));
    assert!(node.reaches(B, A, &between(back, UDP, first(5), &udp(53, 1000))));
    assert!(node.reaches(B, A, &between(back, UDP, later(5, 16), &[0; 64])));
    assert!(!node.reaches(B, A, &between(back, UDP, later(6, 16), &[0; 64])));
}

#[test]
fn a_pods_fragments_have_its_source_too() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    let forged = between((v4(98), v4(99)), UDP, later(1, 800), &[0; 64]);
    assert_eq!(node.send(A, &forged).code, DROP);
    assert_eq!(node.count(Hook::FromPod, Reason::Source), 1);
}

/// The first is refused where it leaves, on the shortcut; the later one alone goes the long way.
#[test]
fn a_later_fragment_of_what_was_refused_lets_no_answer_in() {
    let mut node = Node::new();
    node.pod(A, DENY, DENY);
    node.pod(B, OPEN, OPEN);
    node.settings(SETTING_SHORTCUT, 0);
    for ends in [(v4(A), v4(B)), (v6(A), v6(B))] {
        let back = (ends.1, ends.0);
        assert!(!node.reaches(A, B, &between(ends, TCP, first(1), &tcp(1000, 80, SYN))));
        assert!(!node.reaches(A, B, &between(ends, TCP, later(1, 24), &[0; 64])));
        assert_eq!(node.flows("flows_new", A), []);
        let answer = packet(back.0, back.1, TCP, &tcp(80, 1000, SYN | ACK));
        assert!(!node.reaches(B, A, &answer));
    }
}

#[test]
fn a_later_fragment_is_no_segment_of_a_connection_that_ran_before() {
    let mut node = Node::new();
    node.pod(A, DENY, OPEN);
    node.pod(B, DENY, OPEN);
    for pod in [A, B] {
        node.change(pod, |pod| pod.grace_until = u64::MAX);
    }
    for v6 in [false, true] {
        assert!(!node.reaches(WIRE, B, &to_b(v6, TCP, first(1), &tcp(1000, 80, SYN))));
        assert!(!node.reaches(WIRE, B, &to_b(v6, TCP, later(1, 24), &[0; 64])));
        assert!(node.reaches(WIRE, B, &to_b(v6, TCP, first(2), &tcp(1001, 80, ACK))));
        assert!(node.reaches(WIRE, B, &to_b(v6, TCP, later(2, 24), &[0; 64])));
    }
}

#[test]
fn all_fragments_of_a_flow_take_the_shortcut_or_none() {
    let mut node = Node::new();
    node.pod(A, DENY, OPEN);
    node.pod(B, OPEN, DENY);
    node.settings(SETTING_SHORTCUT, 0);
    let there = (v4(A), v4(B));
    for (part, segment) in [
        (first(1), &tcp(1000, 80, SYN)[..]),
        (later(1, 24), &[0; 64]),
    ] {
        assert_eq!(
            node.send(A, &between(there, TCP, part, segment)).code,
            REDIRECT
        );
    }
}
