//! Rules: classes, ports, prefixes, chains of sets.

use fairlead_netpol_datapath::layout::Direction;

use crate::frame::{SCTP, SYN, TCP, UDP, echo, ip, packet, tcp, udp};
use crate::node::{A, ALL, B, C, DENY, NODE, Node, OPEN, WIRE, class, set, v4, v6};

#[test]
fn a_pod_that_nothing_isolates_gets_and_sends_everything() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, OPEN, OPEN);
    for (a, b) in [(v4(A), v4(B)), (v6(A), v6(B))] {
        assert!(node.reaches(A, B, &packet(a, b, TCP, &tcp(1000, 80, SYN))));
        assert!(node.reaches(A, B, &packet(a, b, UDP, &udp(1000, 53))));
        assert!(node.leaves(A, &packet(a, b, SCTP, &tcp(1, 2, 0))));
        assert!(node.reaches_node(A, &packet(a, b, 50, &[0; 20])));
    }
}

#[test]
fn isolation_in_either_direction_drops() {
    let mut node = Node::new();
    node.pod(A, OPEN, DENY);
    node.pod(B, DENY, OPEN);
    node.pod(C, OPEN, OPEN);
    for of in [v4, v6] {
        let syn = |from, to| packet(of(from), of(to), TCP, &tcp(1000, 80, SYN));
        assert!(!node.reaches(A, C, &syn(A, C)), "egress");
        assert!(!node.leaves(A, &syn(A, 99)), "egress by the wire");
        assert!(!node.reaches_node(A, &syn(A, 99)), "egress to the node");
        assert!(!node.reaches(C, B, &syn(C, B)), "ingress");
        assert!(!node.reaches(WIRE, B, &syn(99, B)), "ingress from outside");
        assert!(node.reaches(C, A, &syn(C, A)), "the other directions");
        assert!(node.leaves(B, &syn(B, 99)));
    }
}

#[test]
fn classes_say_which_peers_may_come() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(C, OPEN, OPEN);
    node.pod(B, set(7), OPEN);
    node.cell(7, class(A), ALL);
    for of in [v4, v6] {
        let syn = |from| packet(of(from), of(B), TCP, &tcp(1000, 80, SYN));
        assert!(node.reaches(A, B, &syn(A)));
        assert!(!node.reaches(C, B, &syn(C)));
        assert!(!node.reaches(WIRE, B, &syn(99)));
    }
}

#[test]
fn ports_are_classed_by_pages_and_by_what_holds_for_the_rest() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    let rules = Direction {
        ports: 70,
        rest: [2, 0, 0, 0],
        ..set(7)
    };
    node.pod(B, rules, OPEN);
    // Class 1: TCP 80 to 89. Class 2: the rest of TCP. Class 3: UDP 53.
    node.page(
        70,
        TCP,
        0,
        |low| if (80..90).contains(&low) { 1 } else { 2 },
    );
    node.page(70, UDP, 0, |low| if low == 53 { 3 } else { 0 });
    node.cell(7, class(A), 1 << 1 | 1 << 3);
    for of in [v4, v6] {
        let (a, b) = (of(A), of(B));
        let mut to =
            |protocol, payload: &[u8]| node.reaches(A, B, &packet(a, b, protocol, payload));
        assert!(to(TCP, &tcp(1000, 80, SYN)));
        assert!(to(TCP, &tcp(1000, 89, SYN)));
        assert!(!to(TCP, &tcp(1000, 90, SYN)));
        assert!(!to(TCP, &tcp(1000, 80 + 256, SYN)), "no page: the rest");
        assert!(to(UDP, &udp(1000, 53)));
        assert!(!to(UDP, &udp(1000, 54)));
        assert!(!to(SCTP, &tcp(1000, 80, 0)), "another protocol's port");
        assert!(!node.reaches(A, B, &echo(a, b, true, 1)), "no port at all");
    }
    node.cell(7, class(A), 1 << 2);
    let syn = packet(v4(A), v4(B), TCP, &tcp(1001, 80 + 256, SYN));
    assert!(node.reaches(A, B, &syn), "all other TCP ports by one bit");
}

#[test]
fn what_any_peer_may_use_needs_no_peer_to_be_known() {
    let mut node = Node::new();
    let rules = Direction {
        ports: 70,
        any: 1 << 1,
        ..set(7)
    };
    node.pod(B, rules, OPEN);
    node.page(70, TCP, 0, |low| u8::from(low == 80));
    for of in [v4, v6] {
        assert!(node.reaches(WIRE, B, &packet(of(99), of(B), TCP, &tcp(1000, 80, SYN))));
        assert!(!node.reaches(WIRE, B, &packet(of(99), of(B), TCP, &tcp(1000, 81, SYN))));
    }
}

#[test]
fn blocks_hold_for_addresses_that_are_no_pods_by_their_longest_prefix() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, OPEN, set(7));
    node.prefix(7, "192.0.2.0/24", ALL);
    node.prefix(7, "192.0.2.128/25", 0);
    node.prefix(7, "192.0.2.129/32", ALL);
    node.prefix(7, "2001:db8::/32", ALL);
    node.prefix(7, "2001:db8:1::/48", 0);
    node.prefix(7, "10.0.0.0/8", ALL);
    // The same block of another set.
    node.prefix(8, "198.51.100.0/24", ALL);
    let mut to = |to: &str| {
        let to = ip(to);
        let from = if to.is_ipv4() { v4(B) } else { v6(B) };
        node.leaves(B, &packet(from, to, TCP, &tcp(1000, 80, SYN)))
    };
    assert!(to("192.0.2.1"));
    assert!(!to("192.0.2.130"));
    assert!(to("192.0.2.129"));
    assert!(!to("198.51.100.1"));
    assert!(to("2001:db8::1"));
    assert!(!to("2001:db8:1::1"));
    assert!(!to("2001:db9::1"));
    assert!(to("10.0.0.77"), "no pod has it");
    assert!(
        !to(&v4(A).to_string()),
        "a pod: its class says, not the block"
    );
}

#[test]
fn families_do_not_share_prefixes() {
    let mut node = Node::new();
    node.pod(B, OPEN, set(7));
    // The bytes of 10.0.0.0/8 and of a00::/8 are the same.
    node.prefix(7, "a00::/8", ALL);
    assert!(!node.leaves(B, &packet(v4(B), ip("10.9.9.9"), UDP, &udp(1, 2))));
    assert!(node.leaves(B, &packet(v6(B), ip("a00::1"), UDP, &udp(1, 2))));
}

#[test]
fn a_set_leads_to_the_next_up_to_the_sixteenth() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    let link = |id: u64| Direction {
        next: id + 1,
        ..set(id)
    };
    node.pod(B, link(1000), OPEN);
    for id in 1001..1016 {
        node.set(id, link(id));
    }
    let syn = |port| packet(v4(A), v4(B), TCP, &tcp(port, 80, SYN));
    assert!(!node.reaches(A, B, &syn(1)));
    node.cell(1015, class(A), ALL);
    assert!(node.reaches(A, B, &syn(2)), "the sixteenth");
    node.cell(1015, class(A), 0);
    node.set(1016, set(1016));
    node.cell(1016, class(A), ALL);
    assert!(!node.reaches(A, B, &syn(3)), "the seventeenth");
}

#[test]
fn the_node_itself_reaches_its_pods_and_a_pod_itself() {
    let mut node = Node::new();
    node.pod(B, DENY, DENY);
    for of in [v4, v6] {
        let syn = packet(of(99), of(B), TCP, &tcp(1000, 80, SYN));
        assert!(node.reaches(NODE, B, &syn));
        let answer = packet(of(B), of(99), TCP, &tcp(80, 1000, SYN | 16));
        assert!(node.reaches_node(B, &answer), "and is answered");
        // By a Service: the address of the other side is the node's by then.
        let hairpin = packet(of(99), of(B), TCP, &tcp(2000, 80, SYN));
        assert!(node.arrives(B, B, 0, &hairpin));
    }
}

#[test]
fn a_pod_of_the_node_is_known_by_itself_however_nat_has_changed_its_address() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(C, OPEN, OPEN);
    node.pod(B, set(7), OPEN);
    node.cell(7, class(A), ALL);
    node.prefix(7, "192.0.2.1/32", ALL);
    let masqueraded = packet(ip("192.0.2.1"), v4(B), TCP, &tcp(1000, 80, SYN));
    assert!(node.arrives(A, B, 0, &masqueraded));
    assert!(!node.arrives(C, B, 0, &masqueraded));
    assert!(node.arrives(WIRE, B, 0, &masqueraded), "who really has it");
}
