//! Pods on a bridge: between its ports the kernel knows who sent, through the bridge itself a slot says so.

use fairlead_netpol_datapath::layout::{CARRY_SLOT, Direction, Endpoint};
use fairlead_netpol_datapath::object;

use crate::frame::{ACK, SYN, TCP, UDP, packet, tcp, udp};
use crate::node::{A, ALL, B, BRIDGE, C, DENY, Node, OPEN, PASS, WIRE, class, set, v4, v6};

const SLOT: u16 = 0x1234;

fn bridged(node: &mut Node, n: u32, slot: u16, ingress: Direction, egress: Direction) {
    node.endpoint(
        n,
        Endpoint {
            ingress,
            egress,
            ip4: v4(n).into(),
            ip6: v6(n).into(),
            flags: 1 | 2,
            slot,
            ..Endpoint::default()
        },
    );
    node.slot(slot.into(), n);
    node.address(v4(n), class(n), 0);
    node.address(v6(n), class(n), 0);
    node.endpoint(
        BRIDGE,
        Endpoint {
            flags: 4,
            ..Endpoint::default()
        },
    );
}

#[test]
fn the_slot_tells_who_sent_through_the_bridge() {
    let mut node = Node::new();
    bridged(&mut node, A, SLOT, OPEN, OPEN);
    node.pod(C, set(7), OPEN);
    node.cell(7, class(A), ALL);
    let syn = packet(v4(A), v4(C), TCP, &tcp(1000, 80, SYN));
    let sent = node.send(A, &syn);
    assert_eq!(sent.code, PASS);
    assert_eq!(sent.carried & CARRY_SLOT, u32::from(SLOT));
    assert!(node.arrives(BRIDGE, C, sent.carried, &syn));
    // The same by an address that is not the pod's: its own counts.
    let masqueraded = packet(v4(98), v4(C), TCP, &tcp(1000, 80, SYN));
    assert!(node.arrives(BRIDGE, C, sent.carried, &masqueraded));
    assert!(
        !node.arrives(BRIDGE, C, 0, &masqueraded),
        "no slot: from outside"
    );
    assert!(
        !node.arrives(BRIDGE, C, 77, &masqueraded),
        "a slot that nobody has"
    );
}

#[test]
fn egress_of_bridged_pods_is_judged_on_all_ways() {
    let mut node = Node::new();
    bridged(&mut node, A, SLOT, OPEN, set(7));
    bridged(&mut node, B, 2, OPEN, OPEN);
    node.pod(C, OPEN, OPEN);
    for allowed in [false, true] {
        for of in [v4, v6] {
            for to in [B, C] {
                let syn = packet(of(A), of(to), TCP, &tcp(1000, 80, SYN));
                let sent = node.send(A, &syn);
                let ingress = if to == B { A } else { BRIDGE };
                assert_eq!(node.arrives(ingress, to, sent.carried, &syn), allowed);
            }
            let syn = packet(of(A), of(B), TCP, &tcp(1001, 80, SYN));
            let sent = node.send(A, &syn);
            let code = node
                .run(object::TO_WIRE, WIRE, BRIDGE, sent.carried, &syn)
                .code;
            assert_eq!(code == PASS, allowed);
            let code = node
                .run(object::TO_NODE, BRIDGE, BRIDGE, sent.carried, &syn)
                .code;
            assert_eq!(code == 0, allowed);
        }
        node.cell(7, class(B), ALL);
        node.cell(7, class(C), ALL);
    }
}

#[test]
fn answers_of_bridged_pods_carry_that_they_are() {
    let mut node = Node::new();
    bridged(&mut node, A, SLOT, OPEN, DENY);
    let request = packet(v4(99), v4(A), UDP, &udp(1000, 53));
    assert!(node.arrives(WIRE, A, 0, &request));
    let answer = packet(v4(A), v4(99), UDP, &udp(53, 1000));
    let sent = node.send(A, &answer);
    assert_eq!(
        node.run(object::TO_WIRE, WIRE, BRIDGE, sent.carried, &answer)
            .code,
        PASS
    );
    let other = packet(v4(A), v4(98), UDP, &udp(53, 1000));
    let sent = node.send(A, &other);
    assert_ne!(
        node.run(object::TO_WIRE, WIRE, BRIDGE, sent.carried, &other)
            .code,
        PASS
    );
}

#[test]
fn a_bridged_pod_reaches_itself_by_a_service() {
    let mut node = Node::new();
    bridged(&mut node, A, SLOT, DENY, DENY);
    let hairpin = packet(v4(98), v4(A), TCP, &tcp(1000, 80, SYN));
    assert!(node.arrives(BRIDGE, A, SLOT.into(), &hairpin));
    assert!(!node.arrives(
        BRIDGE,
        A,
        0,
        &packet(v4(98), v4(A), TCP, &tcp(1001, 80, SYN))
    ));
    let answer = packet(v4(A), v4(98), TCP, &tcp(80, 1000, ACK));
    let sent = node.send(A, &answer);
    assert_eq!(
        node.run(object::TO_NODE, BRIDGE, BRIDGE, sent.carried, &answer)
            .code,
        0
    );
}
