//! ARP, neighbour discovery, multicast listeners: the link's own business.

use std::net::{IpAddr, Ipv6Addr};

use fairlead_netpol_datapath::layout::Endpoint;
use fairlead_netpol_datapath::{Hook, Reason};

use crate::frame::{ICMP6, ethernet, extension, fragment_header, icmp, ip, v6 as ipv6};
use crate::node::{A, B, BRIDGE, DENY, DROP, NODE, Node, PASS, WIRE, v4, v6};

fn arp(sender: IpAddr, target: IpAddr) -> Vec<u8> {
    let (IpAddr::V4(sender), IpAddr::V4(target)) = (sender, target) else {
        panic!()
    };
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, 2];
    bytes.extend(sender.octets());
    bytes.extend([0; 6]);
    bytes.extend(target.octets());
    ethernet(0x0806, &bytes)
}

fn neighbour(kind: u8, from: &str, to: &str, hop_limit: u8, target: &str) -> Vec<u8> {
    let target: Ipv6Addr = target.parse().unwrap();
    let message = icmp(kind, [0; 4], &target.octets());
    ipv6(
        from.parse().unwrap(),
        to.parse().unwrap(),
        ICMP6,
        hop_limit,
        &message,
    )
}

/// A pod of a bridge that policy allows nothing.
fn bridged(node: &mut Node, n: u32) {
    node.endpoint(
        n,
        Endpoint {
            ingress: DENY,
            egress: DENY,
            ip4: v4(n).into(),
            ip6: v6(n).into(),
            flags: 1 | 2,
            slot: u16::try_from(n).unwrap(),
            ..Endpoint::default()
        },
    );
    node.slot(n, n);
    node.endpoint(
        BRIDGE,
        Endpoint {
            flags: 4,
            ..Endpoint::default()
        },
    );
}

#[test]
fn arp_and_neighbour_discovery_pass_isolated_pods() {
    let mut node = Node::new();
    node.pod(A, DENY, DENY);
    node.pod(B, DENY, DENY);
    assert!(node.reaches(A, B, &arp(v4(A), v4(B))));
    assert!(node.leaves(A, &arp(v4(A), v4(B))));
    assert!(node.reaches(NODE, B, &arp(v4(99), v4(B))));
    for kind in 133..=137 {
        let frame = neighbour(kind, "fd00::2", "fd00::3", 255, "fd00::2");
        assert!(node.reaches(A, B, &frame), "{kind}");
        assert!(node.reaches_node(A, &frame), "{kind}");
    }
    for kind in [130, 131, 132, 143] {
        assert!(
            node.reaches(A, B, &neighbour(kind, "fe80::2", "ff02::16", 1, "::")),
            "{kind}"
        );
    }
}

#[test]
fn a_type_alone_is_no_way_past_policy() {
    let mut node = Node::new();
    node.pod(A, DENY, DENY);
    node.pod(B, DENY, DENY);
    // A router has lowered the hop limit.
    let forwarded = neighbour(135, "fd00::2", "fd00::3", 254, "fd00::3");
    assert!(!node.reaches(A, B, &forwarded));
    assert!(!node.leaves(A, &forwarded));
    // A report to one host.
    assert!(!node.reaches(A, B, &neighbour(143, "fd00::2", "fd00::3", 1, "::")));
    // Another message with a hop limit of 255.
    assert!(!node.reaches(A, B, &neighbour(128, "fd00::2", "fd00::3", 255, "::")));
    // RFC 6980: in fragments.
    let message = icmp(136, [0; 4], &[0; 16]);
    let part = crate::frame::Part::default();
    let frame = ipv6(
        "fd00::2".parse().unwrap(),
        "fd00::3".parse().unwrap(),
        44,
        255,
        &fragment_header(ICMP6, part, &message),
    );
    assert!(!node.reaches(A, B, &frame));
    // Behind another extension header it is what it is.
    let frame = ipv6(
        "fd00::2".parse().unwrap(),
        "fd00::3".parse().unwrap(),
        60,
        255,
        &extension(ICMP6, &message),
    );
    assert!(node.reaches(A, B, &frame));
}

#[test]
fn pods_of_a_bridge_speak_for_themselves_only() {
    let mut node = Node::new();
    bridged(&mut node, A);
    node.source(A, "10.0.0.200/32");
    let mut sends = |frame: &[u8]| node.send(A, frame).code == PASS;
    assert!(sends(&arp(v4(A), v4(B))));
    assert!(sends(&arp(ip("0.0.0.0"), v4(A))), "asks whether it is free");
    assert!(
        sends(&arp(ip("10.0.0.200"), v4(B))),
        "an address that it may have"
    );
    assert!(!sends(&arp(v4(B), v4(A))));
    assert!(!sends(&ethernet(0x0806, &[0; 12])), "too short");

    assert!(sends(&neighbour(136, "fd00::2", "ff02::1", 255, "fd00::2")));
    assert!(sends(&neighbour(136, "fe80::2", "ff02::1", 255, "fe80::2")));
    assert!(!sends(&neighbour(
        136, "fe80::2", "ff02::1", 255, "fd00::3"
    )));
    assert!(!sends(&neighbour(
        136, "fd00::2", "ff02::1", 255, "fd00::3"
    )));
    assert!(
        sends(&neighbour(135, "fd00::2", "ff02::1:ff00:3", 255, "fd00::3")),
        "asks"
    );
    assert!(
        sends(&neighbour(135, "::", "ff02::1:ff00:2", 255, "fd00::2")),
        "asks whether it is free"
    );
    assert!(
        !sends(&neighbour(134, "fe80::2", "ff02::1", 255, "::")),
        "no pod is a router"
    );
    assert!(!sends(&neighbour(
        137, "fe80::2", "fd00::3", 255, "fd00::9"
    )));
    assert_eq!(node.count(Hook::FromPod, Reason::Source), 6);
}

#[test]
fn pods_of_a_bridge_get_addresses_by_dhcp() {
    let mut node = Node::new();
    bridged(&mut node, A);
    bridged(&mut node, B);
    let udp = |from: &str, to: &str, source, destination| {
        crate::frame::packet(
            ip(from),
            ip(to),
            17,
            &crate::frame::udp(source, destination),
        )
    };
    assert!(node.leaves(A, &udp("0.0.0.0", "255.255.255.255", 68, 67)));
    assert!(node.reaches_node(A, &udp("10.0.0.2", "10.0.0.99", 68, 67)));
    assert!(node.leaves(A, &udp("fe80::2", "ff02::1:2", 546, 547)));
    assert!(node.reaches(WIRE, A, &udp("10.0.0.99", "10.0.0.2", 67, 68)));
    assert!(node.reaches(WIRE, A, &udp("fe80::99", "fe80::2", 547, 546)));
    assert!(!node.reaches(WIRE, A, &udp("10.0.0.99", "10.0.0.2", 67, 69)));
    assert!(!node.leaves(A, &udp("10.0.0.2", "10.0.0.99", 68, 69)));
    assert_eq!(
        node.send(A, &udp("0.0.0.0", "255.255.255.255", 1, 2)).code,
        DROP
    );
    // From another pod it is a server that nobody asked for.
    assert!(!node.reaches(B, A, &udp("10.0.0.3", "10.0.0.2", 67, 68)));
}
