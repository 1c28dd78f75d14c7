//! Counters, events, and what the verifier says of the programs.

use fairlead_netpol_datapath::layout::VerdictKey;
use fairlead_netpol_datapath::{Hook, Reason, object};

use crate::frame::{ACK, SYN, TCP, UDP, packet, tcp, udp};
use crate::node::{A, ALL, B, DENY, DROP, NODE, Node, OPEN, WIRE, class, set, v4, v6};

#[test]
fn drops_count_packets_and_flows_count_once() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, set(7), OPEN);
    node.cell(7, class(A), ALL);
    for _ in 0..3 {
        assert!(node.reaches(A, B, &packet(v4(A), v4(B), UDP, &udp(1000, 53))));
        assert!(!node.reaches(WIRE, B, &packet(v4(99), v4(B), UDP, &udp(1000, 53))));
    }
    assert_eq!(node.count(Hook::FromPod, Reason::Allowed), 1);
    assert_eq!(node.count(Hook::ToPod, Reason::Allowed), 1);
    assert_eq!(node.count(Hook::ToPod, Reason::Ingress), 3);
}

#[test]
fn cells_count_what_they_decided() {
    let mut node = Node::new();
    node.pod(A, OPEN, set(8));
    node.pod(B, set(7), OPEN);
    node.cell(7, class(A), ALL);
    node.cell(8, class(B), ALL);
    let key = |set, class, reason: Reason| VerdictKey {
        set,
        class,
        reason: reason as u8,
        ..VerdictKey::default()
    };
    for flags in [SYN, ACK, ACK] {
        assert!(node.reaches(A, B, &packet(v6(A), v6(B), TCP, &tcp(1000, 80, flags))));
    }
    assert_eq!(node.verdicts(key(7, class(A), Reason::Allowed)), 1);
    assert_eq!(node.verdicts(key(8, class(B), Reason::Allowed)), 1);
    for _ in 0..2 {
        assert!(!node.leaves(A, &packet(v4(A), v4(99), TCP, &tcp(1000, 80, SYN))));
        assert!(!node.reaches(WIRE, B, &packet(v4(99), v4(B), TCP, &tcp(1000, 80, SYN))));
    }
    assert_eq!(node.verdicts(key(8, 0, Reason::Egress)), 2);
    assert_eq!(node.verdicts(key(7, 0, Reason::Ingress)), 2);
}

#[test]
fn drops_are_told_and_flows_by_sample() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, DENY, OPEN);
    assert!(!node.reaches(A, B, &packet(v4(A), v4(B), TCP, &tcp(1000, 80, SYN))));
    let events = node.events();
    assert_eq!(events.len(), 1);
    let event = &events[0];
    let octets = |ip: std::net::IpAddr| fairlead_netpol_datapath::layout::Addr::from(ip).0;
    assert_eq!(event[8..16], 1_u64.to_ne_bytes(), "the set");
    assert_eq!(event[16..24], class(A).to_ne_bytes());
    assert_eq!(event[24..40], octets(v4(A)));
    assert_eq!(event[40..56], octets(v4(B)));
    assert_eq!(event[56..60], [3, 232, 0, 80], "the ports");
    assert_eq!(event[60..64], B.to_ne_bytes(), "the device");
    assert_eq!(event[64..68], B.to_ne_bytes(), "the pod");
    assert_eq!(
        event[68..72],
        [TCP, Reason::Ingress as u8, Hook::ToPod as u8, 0]
    );

    node.change(B, |b| b.ingress = OPEN);
    assert!(node.reaches(A, B, &packet(v4(A), v4(B), TCP, &tcp(1001, 80, SYN))));
    assert_eq!(node.events().len(), 0, "no flow is told unless asked for");
    node.settings(0, 1);
    for flags in [SYN, ACK] {
        assert!(node.reaches(A, B, &packet(v4(A), v4(B), TCP, &tcp(1002, 80, flags))));
    }
    let told: Vec<_> = node
        .events()
        .iter()
        .map(|event| (event[64], event[69]))
        .collect();
    assert_eq!(told, [(2, 0), (3, 0)], "one at each end");
    assert!(node.leaves(A, &packet(v4(A), v4(99), TCP, &tcp(1002, 80, SYN))));
    assert_eq!(node.events().len(), 1);
}

#[test]
fn a_full_ring_costs_events_and_is_counted() {
    let mut node = Node::new();
    node.pod(B, DENY, OPEN);
    for port in 0..200 {
        assert!(!node.reaches(WIRE, B, &packet(v4(99), v4(B), UDP, &udp(port, 53))));
    }
    let told = node.events().len() as u64;
    let lost: aya::maps::PerCpuArray<_, u64> = node.bpf().map("lost").unwrap().try_into().unwrap();
    let lost: u64 = lost.get(&0, 0).unwrap().iter().sum();
    assert!(lost > 0);
    assert_eq!(told + lost, 200);
    assert_eq!(node.count(Hook::ToPod, Reason::Ingress), 200);
}

#[test]
fn a_flood_of_new_flows_throws_out_none_that_is_confirmed() {
    let mut node = Node::new();
    node.pod(A, DENY, OPEN);
    let there = packet(v4(A), v4(99), UDP, &udp(9999, 53));
    let back = packet(v4(99), v4(A), UDP, &udp(53, 9999));
    assert!(node.leaves(A, &there) && node.reaches(WIRE, A, &back) && node.leaves(A, &there));
    for port in 0..9000 {
        assert!(node.arrives(NODE, A, 0, &packet(v4(98), v4(A), TCP, &tcp(port, 80, SYN))));
    }
    assert!(node.reaches(WIRE, A, &back));
}

#[test]
fn programs_are_far_from_the_verifiers_limit() {
    let node = Node::new();
    for name in [
        object::FROM_POD,
        object::TO_POD,
        object::TO_WIRE,
        object::TO_NODE,
    ] {
        let info = node.bpf().program(name).unwrap().info().unwrap();
        let instructions = info.verified_instruction_count().unwrap();
        println!("{name}: {instructions} instructions verified");
        assert!(instructions < 100_000, "{name}: {instructions}");
    }
    let mut node = node;
    let frame = packet(v4(A), v4(B), UDP, &udp(1, 2));
    assert_eq!(node.send(A, &frame).code, DROP);
}
