//! A pod sends from its own addresses.

use fairlead_netpol_datapath::layout::Endpoint;
use fairlead_netpol_datapath::{Hook, Reason};

use crate::frame::{UDP, ip, packet, udp};
use crate::node::{A, B, Node, OPEN, PASS, v4, v6};

fn sends(node: &mut Node, from: &str) -> bool {
    let from = ip(from);
    let to = if from.is_ipv4() { v4(99) } else { v6(99) };
    node.send(A, &packet(from, to, UDP, &udp(1000, 53))).code == PASS
}

#[test]
fn other_sources_are_dropped() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, OPEN, OPEN);
    for own in ["10.0.0.2", "fd00::2", "fe80::1234"] {
        assert!(sends(&mut node, own), "{own}");
    }
    for other in [
        "10.0.0.3",
        "0.0.0.0",
        "127.0.0.1",
        "fd00::3",
        "::",
        "::1",
        "ff02::1",
    ] {
        assert!(!sends(&mut node, other), "{other}");
    }
    assert_eq!(node.count(Hook::FromPod, Reason::Source), 7);
}

#[test]
fn a_family_that_the_pod_has_no_address_of_is_dropped() {
    let mut node = Node::new();
    node.endpoint(
        A,
        Endpoint {
            ip4: v4(A).into(),
            flags: 1,
            ..Endpoint::default()
        },
    );
    assert!(sends(&mut node, "10.0.0.2"));
    assert!(!sends(&mut node, "fd00::2"));
    assert!(!sends(&mut node, "::"));
}

#[test]
fn allowed_sources_are_the_pods_own_list() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.source(A, "192.0.2.0/28");
    node.source(A, "2001:db8::/64");
    node.source(B, "198.51.100.0/24");
    assert!(sends(&mut node, "192.0.2.15"));
    assert!(!sends(&mut node, "192.0.2.16"));
    assert!(sends(&mut node, "2001:db8::ffff"));
    assert!(!sends(&mut node, "2001:db8:0:1::1"));
    assert!(!sends(&mut node, "198.51.100.1"), "another pod's");
}

#[test]
fn a_pod_may_be_free_of_the_check() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.change(A, |a| a.flags = 0);
    for any in ["10.0.0.3", "0.0.0.0", "fd00::3", "::"] {
        assert!(sends(&mut node, any), "{any}");
    }
}
