//! The shortcut from host end to host end: taken by both directions or by none.

use fairlead_netpol_datapath::layout::{
    CARRY_DIRECT, ENDPOINT_NO_SHORTCUT, Flow, SETTING_SHORTCUT,
};
use fairlead_netpol_datapath::object;

use crate::frame::{ACK, SYN, TCP, UDP, packet, tcp, udp};
use crate::node::{A, ALL, B, C, DENY, DROP, Node, OPEN, PAIR, PASS, REDIRECT, class, set, v4, v6};

fn node() -> Node {
    let mut node = Node::new();
    node.pod(A, DENY, OPEN);
    node.pod(B, OPEN, DENY);
    node.settings(SETTING_SHORTCUT, 0);
    node
}

pub(crate) fn there(flags: u8) -> Vec<u8> {
    packet(v4(A), v4(B), TCP, &tcp(1000, 80, flags))
}

pub(crate) fn back(flags: u8) -> Vec<u8> {
    packet(v4(B), v4(A), TCP, &tcp(80, 1000, flags))
}

fn forget(node: &mut Node, ifindex: u32) {
    for map in ["flows", "flows_new"] {
        for (key, _) in node.flows(map, ifindex) {
            node.hash::<_, Flow>(map).remove(&key).unwrap();
        }
    }
}

#[test]
fn tcp_takes_it_from_its_syn_on_in_both_directions() {
    let mut node = node();
    for of in [v4, v6] {
        let there = |flags| packet(of(A), of(B), TCP, &tcp(1000, 80, flags));
        let back = |flags| packet(of(B), of(A), TCP, &tcp(80, 1000, flags));
        assert_eq!(node.send(A, &there(SYN)).code, REDIRECT);
        assert_eq!(node.send(B, &back(SYN | ACK)).code, REDIRECT);
        assert_eq!(node.send(A, &there(ACK)).code, REDIRECT);
        assert_eq!(node.send(B, &back(ACK)).code, REDIRECT);
    }
    assert_eq!(node.flows("flows", PAIR).len(), 2);
}

#[test]
fn macs_are_those_of_the_receivers_link() {
    let mut node = node();
    let syn = there(SYN);
    let (ran, after) = node.run_out(object::FROM_POD, A, A, 0, &syn);
    assert_eq!(ran.code, REDIRECT);
    assert_eq!(ran.carried, 0);
    assert_eq!(after[..12], [2, 0, 0, 0, 1, 3, 2, 0, 0, 0, 2, 3]);
    assert_eq!(after[12..], syn[12..]);
}

#[test]
fn policy_is_asked_on_it_at_both_ends() {
    let mut node = node();
    node.pod(B, set(7), OPEN);
    assert_eq!(node.send(A, &there(SYN)).code, DROP);
    node.cell(7, class(A), ALL);
    assert_eq!(node.send(A, &there(SYN)).code, REDIRECT);
    assert_eq!(node.send(B, &back(SYN | ACK)).code, REDIRECT);
    node.change(B, |b| b.ingress = DENY);
    assert_eq!(node.send(A, &there(ACK)).code, DROP);
    node.change(B, |b| b.ingress = OPEN);
    assert_eq!(node.send(A, &there(ACK)).code, REDIRECT);
    node.change(A, |a| a.egress = DENY);
    assert_eq!(node.send(A, &there(ACK)).code, DROP);
}

#[test]
fn a_connection_that_began_the_long_way_stays_on_it() {
    let mut node = node();
    node.settings(0, 0);
    assert!(node.reaches(A, B, &there(SYN)));
    node.settings(SETTING_SHORTCUT, 0);
    for (from, to, segment) in [
        (B, A, back(SYN | ACK)),
        (A, B, there(ACK)),
        (B, A, back(ACK)),
    ] {
        assert_eq!(node.send(from, &segment).code, PASS);
        assert!(node.reaches(from, to, &segment));
    }
    // Nor does one whose entries were lost.
    forget(&mut node, A);
    forget(&mut node, B);
    assert_eq!(node.send(A, &there(ACK)).code, PASS);
    let mut node = self::node();
    for (from, segment) in [(A, there(SYN)), (B, back(SYN | ACK)), (A, there(ACK))] {
        assert_eq!(node.send(from, &segment).code, REDIRECT);
    }
    forget(&mut node, PAIR);
    assert_eq!(node.send(A, &there(ACK)).code, PASS);
}

#[test]
fn switching_it_off_sends_connections_the_long_way_for_good() {
    let mut node = node();
    for (from, segment) in [(A, there(SYN)), (B, back(SYN | ACK)), (A, there(ACK))] {
        assert_eq!(node.send(from, &segment).code, REDIRECT);
    }
    node.settings(0, 0);
    assert_eq!(node.send(A, &there(ACK)).code, PASS);
    node.settings(SETTING_SHORTCUT, 0);
    assert_eq!(node.send(B, &back(ACK)).code, PASS, "the other end knows");
    assert_eq!(node.send(A, &there(ACK)).code, PASS);
    assert!(node.reaches(B, A, &back(ACK)) && node.reaches(A, B, &there(ACK)));
}

#[test]
fn an_answer_to_a_pod_that_is_gone_does_not_reach_the_next_with_its_address() {
    let mut node = node();
    for (from, segment) in [(A, there(SYN)), (B, back(SYN | ACK)), (A, there(ACK))] {
        assert_eq!(node.send(from, &segment).code, REDIRECT);
    }
    node.pod(C, DENY, OPEN);
    node.change(C, |c| c.ip4 = v4(A).into());
    node.address(v4(A), class(C), C);
    assert_eq!(node.send(B, &back(ACK)).code, PASS);
    assert!(!node.reaches(B, C, &back(ACK)));
}

#[test]
fn udp_takes_it_once_the_receiver_saw_that_no_nat_was_there() {
    let mut node = node();
    for of in [v4, v6] {
        let there = packet(of(A), of(B), UDP, &udp(1000, 53));
        let back = packet(of(B), of(A), UDP, &udp(53, 1000));
        let sent = node.send(A, &there);
        assert_eq!(sent.code, PASS);
        assert_ne!(sent.carried & CARRY_DIRECT, 0);
        assert!(node.arrives(A, B, sent.carried, &there));
        assert_eq!(node.send(B, &back).code, REDIRECT);
        assert_eq!(node.send(A, &there).code, REDIRECT);
        node.settings(0, 0);
        assert!(node.reaches(A, B, &there) && node.reaches(B, A, &back));
        node.settings(SETTING_SHORTCUT, 0);
    }
}

#[test]
fn udp_to_a_service_never_takes_it() {
    let mut node = node();
    let to_service = packet(v4(A), v4(90), UDP, &udp(1000, 53));
    let at_backend = packet(v4(A), v4(B), UDP, &udp(1000, 53));
    let sent = node.send(A, &to_service);
    assert_eq!(sent.carried & CARRY_DIRECT, 0);
    assert!(node.arrives(A, B, sent.carried, &at_backend));
    let answer = packet(v4(B), v4(A), UDP, &udp(53, 1000));
    assert_eq!(
        node.send(B, &answer).code,
        PASS,
        "conntrack has to translate it"
    );
    // Not even when NAT leaves the address and changes the port.
    let other_port = packet(v4(A), v4(B), UDP, &udp(1001, 5353));
    let sent = node.send(A, &packet(v4(A), v4(B), UDP, &udp(1001, 53)));
    assert!(node.arrives(A, B, sent.carried, &other_port));
    assert_eq!(
        node.send(A, &packet(v4(A), v4(B), UDP, &udp(1001, 53)))
            .code,
        PASS
    );
}

#[test]
fn some_pods_are_never_on_it() {
    for unfit in [A, B] {
        let mut node = node();
        node.change(unfit, |pod| pod.flags |= ENDPOINT_NO_SHORTCUT);
        assert_eq!(node.send(A, &there(SYN)).code, PASS);
        let sent = node.send(A, &packet(v4(A), v4(B), UDP, &udp(1000, 53)));
        assert_eq!(sent.carried & CARRY_DIRECT, 0);
    }
    let mut node = node();
    node.address(v4(B), class(B), 0);
    assert_eq!(
        node.send(A, &there(SYN)).code,
        PASS,
        "elsewhere, or bridged"
    );
    node.address(v4(B), class(B), C);
    assert_eq!(
        node.send(A, &there(SYN)).code,
        PASS,
        "its interface is another pod's by now"
    );
    node.address(v4(A), class(A), A);
    let itself = packet(v4(A), v4(A), TCP, &tcp(1000, 80, SYN));
    assert_eq!(node.send(A, &itself).code, PASS, "a pod itself");
}
