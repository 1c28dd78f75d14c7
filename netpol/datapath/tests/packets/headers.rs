//! Headers that lie, options, extension headers.

use fairlead_netpol_datapath::{Hook, Reason};

use crate::frame::{
    ACK, ICMP6, Part, SYN, TCP, UDP, ethernet, extension, fragment_header, packet, tcp, udp,
    v4 as ipv4, v6 as ipv6,
};
use crate::node::{A, B, DROP, Node, OPEN, WIRE, class, set, v4, v6};
use std::net::IpAddr;

/// `B` gets TCP port 80 from `A` and nothing else.
fn port_80() -> Node {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    let rules = fairlead_netpol_datapath::layout::Direction {
        ports: 70,
        ..set(7)
    };
    node.pod(B, rules, OPEN);
    node.page(70, TCP, 0, |low| u8::from(low == 80));
    node.cell(7, class(A), 1 << 1);
    node
}

fn a_to_b_v4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V4(a), IpAddr::V4(b)) = (v4(A), v4(B)) else {
        panic!()
    };
    ipv4(a, b, protocol, Part::default(), options, payload)
}

fn a_to_b_v6(next: u8, payload: &[u8]) -> Vec<u8> {
    let (IpAddr::V6(a), IpAddr::V6(b)) = (v6(A), v6(B)) else {
        panic!()
    };
    ipv6(a, b, next, 64, payload)
}

#[test]
fn ports_are_found_behind_ip_options() {
    let mut node = port_80();
    for words in [0, 1, 10] {
        let options = vec![1; words * 4];
        assert!(node.reaches(A, B, &a_to_b_v4(TCP, &options, &tcp(1000, 80, SYN))));
        assert!(!node.reaches(A, B, &a_to_b_v4(TCP, &options, &tcp(1000, 81, SYN))));
    }
}

#[test]
fn ports_are_found_behind_extension_headers() {
    let mut node = port_80();
    for kind in [0, 43, 60, 135, 139, 140] {
        assert!(
            node.reaches(A, B, &a_to_b_v6(kind, &extension(TCP, &tcp(1000, 80, SYN)))),
            "{kind}"
        );
        assert!(
            !node.reaches(A, B, &a_to_b_v6(kind, &extension(TCP, &tcp(1000, 81, SYN)))),
            "{kind}"
        );
    }
    // An authentication header counts its length in words of four bytes.
    let mut authentication = vec![TCP, 4, 0, 0];
    authentication.extend([0; 20]);
    let with = |port| [&authentication[..], &tcp(1000, port, SYN)].concat();
    assert!(node.reaches(A, B, &a_to_b_v6(51, &with(80))));
    assert!(!node.reaches(A, B, &a_to_b_v6(51, &with(81))));
}

#[test]
fn eight_extension_headers_are_read_and_nine_are_too_many() {
    let mut node = port_80();
    let chain = |headers: usize, port| {
        let payload = (0..headers).fold((TCP, tcp(1000, port, SYN)), |(next, rest), _| {
            (60, extension(next, &rest))
        });
        a_to_b_v6(payload.0, &payload.1)
    };
    assert!(node.reaches(A, B, &chain(8, 80)));
    assert!(!node.reaches(A, B, &chain(8, 81)));
    assert_eq!(node.send(A, &chain(9, 80)).code, DROP);
    assert_eq!(node.count(Hook::FromPod, Reason::Malformed), 1);
}

#[test]
fn what_is_shorter_than_its_headers_say_is_dropped_everywhere() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, OPEN, OPEN);
    let whole4 = packet(v4(A), v4(B), TCP, &tcp(1000, 80, SYN));
    let whole6 = packet(v6(A), v6(B), UDP, &udp(1000, 53));
    // Half an IP header cannot be shown: the kernel runs no test with it.
    let mut cases = vec![
        ethernet(0x0800, &whole6[14..]),
        ethernet(0x86dd, &whole4[14..]),
        whole4[..14 + 20 + 13].to_vec(),
        whole6[..14 + 40 + 7].to_vec(),
        a_to_b_v6(0, &[TCP, 200, 1, 2, 3, 4, 5, 6]),
        a_to_b_v6(0, &[TCP]),
        a_to_b_v6(ICMP6, &[128, 0, 0]),
        a_to_b_v6(44, &[TCP, 0, 0]),
    ];
    // A header length below the shortest, or beyond the end.
    for version_and_length in [0x44, 0x4f, 0x55] {
        let mut frame = whole4.clone();
        frame[14] = version_and_length;
        cases.push(frame);
    }
    // Ports behind the end that the IP header tells are padding.
    let mut frame = whole4.clone();
    frame[14 + 3] = 30;
    cases.push(frame);
    let mut frame = whole6.clone();
    frame[14 + 5] = 4;
    cases.push(frame);
    let number = cases.len();
    for frame in cases {
        assert_eq!(node.send(A, &frame).code, DROP, "{frame:02x?}");
        assert!(!node.arrives(WIRE, B, 0, &frame), "{frame:02x?}");
    }
    let number = u64::try_from(number).unwrap();
    assert_eq!(node.count(Hook::FromPod, Reason::Malformed), number);
    assert_eq!(node.count(Hook::ToPod, Reason::Malformed), number);
}

#[test]
fn a_second_fragment_header_is_malformed() {
    let mut node = port_80();
    let inner = fragment_header(TCP, Part::default(), &tcp(1000, 80, SYN));
    let frame = a_to_b_v6(44, &fragment_header(44, Part::default(), &inner));
    assert_eq!(node.send(A, &frame).code, DROP);
}

#[test]
fn an_ipv4_address_in_ipv6_headers_is_malformed() {
    let mut node = port_80();
    let mapped = |ip: &str| ip.parse().unwrap();
    for (from, to) in [
        ("::ffff:10.0.0.2", "fd00::3"),
        ("fd00::2", "::ffff:10.0.0.3"),
    ] {
        let frame = ipv6(mapped(from), mapped(to), TCP, 64, &tcp(1000, 80, ACK));
        assert_eq!(node.send(A, &frame).code, DROP);
        assert!(!node.arrives(WIRE, B, 0, &frame));
    }
    assert_eq!(node.flows("flows_new", A).len(), 0);
}

#[test]
fn protocols_of_the_other_family_have_no_ports() {
    let mut node = port_80();
    // ICMP in IPv6 and ICMPv6 in IPv4: nothing is read of them.
    assert!(node.leaves(A, &a_to_b_v6(1, &[8])));
    assert!(node.leaves(A, &a_to_b_v4(ICMP6, &[], &[133])));
    assert!(!node.reaches(A, B, &a_to_b_v4(ICMP6, &[], &[135, 0, 0, 0, 0, 0, 0, 0])));
}
