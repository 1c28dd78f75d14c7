//! What hooks do with who is not a pod, and with pods that are not known.

use fairlead_netpol_datapath::{Hook, Reason, object};

use crate::frame::{SYN, TCP, UDP, ethernet, packet, tcp, udp};
use crate::node::{A, B, DENY, DROP, NODE, Node, OPEN, PASS, WIRE, v4};

#[test]
fn a_pod_that_the_agent_has_not_told_of_is_denied_both_ways() {
    let mut node = Node::new();
    let syn = packet(v4(A), v4(B), TCP, &tcp(1000, 80, SYN));
    assert_eq!(node.send(A, &syn).code, DROP);
    assert!(!node.arrives(NODE, B, 0, &syn));
    assert!(!node.arrives(WIRE, B, 0, &ethernet(0x0806, &[0; 28])));
    assert_eq!(node.count(Hook::FromPod, Reason::Starting), 1);
    assert_eq!(node.count(Hook::ToPod, Reason::Starting), 2);
}

#[test]
fn what_no_pod_has_sent_leaves_freely() {
    let mut node = Node::new();
    node.pod(A, DENY, DENY);
    let syn = packet(v4(98), v4(99), TCP, &tcp(1000, 80, SYN));
    for ingress in [NODE, WIRE] {
        // Nobody but a pod's host end has written what it seems to carry.
        for carried in [0, 0x3001, 0xffff] {
            assert_eq!(
                node.run(object::TO_WIRE, WIRE, ingress, carried, &syn).code,
                PASS
            );
            assert_eq!(
                node.run(object::TO_NODE, WIRE, ingress, carried, &syn).code,
                0
            );
        }
    }
}

#[test]
fn what_seems_to_be_carried_from_outside_counts_for_nothing() {
    let mut node = Node::new();
    node.pod(B, DENY, OPEN);
    let syn = packet(v4(99), v4(B), TCP, &tcp(1000, 80, SYN));
    assert!(!node.arrives(WIRE, B, 0xffff, &syn));
    assert!(!node.arrives(WIRE, B, 0x8000, &syn));
}

#[test]
fn a_pod_cannot_say_that_it_answers() {
    let mut node = Node::new();
    node.pod(A, OPEN, DENY);
    // `send` begins with every bit set.
    assert!(!node.leaves(A, &packet(v4(A), v4(99), UDP, &udp(1, 2))));
}

#[test]
fn what_is_neither_ip_nor_arp_passes_where_nothing_isolates() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, DENY, DENY);
    let other = ethernet(0x88cc, &[0; 40]);
    assert!(node.leaves(A, &other));
    assert!(node.reaches(NODE, A, &other));
    assert!(node.reaches(WIRE, A, &other));
    assert!(!node.leaves(B, &other));
    assert!(!node.reaches(WIRE, B, &other));
    assert!(node.reaches(NODE, B, &other), "the node reaches its pods");
    assert_eq!(node.count(Hook::FromPod, Reason::NotIp), 1);
    assert_eq!(node.count(Hook::ToPod, Reason::NotIp), 1);
}
