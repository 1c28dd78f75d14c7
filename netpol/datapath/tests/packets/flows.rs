//! Flows: answers pass, their age, who opened them.

use fairlead_netpol_datapath::layout::{
    FLOW_ANSWERED, FLOW_CLOSING, FLOW_ESTABLISHED, SIDE_POD, SIDE_REMOTE,
};

use crate::frame::{ACK, FIN, RST, SYN, TCP, UDP, echo, ip, packet, tcp, udp};
use crate::node::{A, ALL, B, C, DENY, NODE, Node, OPEN, WIRE, class, set, v4, v6};

/// A new pod that only sends, and one that only gets.
fn one_way() -> Node {
    let mut node = Node::new();
    node.pod(A, DENY, OPEN);
    node.pod(B, OPEN, DENY);
    node
}

#[test]
fn answers_pass_two_isolated_pods() {
    let mut node = one_way();
    for of in [v4, v6] {
        let (a, b) = (of(A), of(B));
        assert!(!node.reaches(B, A, &packet(b, a, TCP, &tcp(80, 1000, SYN | ACK))));
        assert!(node.reaches(A, B, &packet(a, b, TCP, &tcp(1000, 80, SYN))));
        assert!(node.reaches(B, A, &packet(b, a, TCP, &tcp(80, 1000, SYN | ACK))));
        assert!(node.reaches(A, B, &packet(a, b, TCP, &tcp(1000, 80, ACK))));
        assert!(
            !node.reaches(B, A, &packet(b, a, TCP, &tcp(81, 1000, SYN | ACK))),
            "another port"
        );

        assert!(!node.reaches(B, A, &packet(b, a, UDP, &udp(53, 1000))));
        assert!(node.reaches(A, B, &packet(a, b, UDP, &udp(1000, 53))));
        assert!(node.reaches(B, A, &packet(b, a, UDP, &udp(53, 1000))));

        assert!(!node.reaches(B, A, &packet(b, a, 50, &[7; 20])));
        assert!(node.reaches(A, B, &packet(a, b, 50, &[7; 20])));
        assert!(node.reaches(B, A, &packet(b, a, 50, &[7; 20])));
    }
}

#[test]
fn an_answer_that_was_expected_by_another_pod_does_not_pass() {
    let mut node = one_way();
    node.pod(C, DENY, OPEN);
    assert!(node.leaves(A, &packet(v4(A), ip("192.0.2.1"), UDP, &udp(1000, 53))));
    let to_a = packet(ip("192.0.2.1"), v4(A), UDP, &udp(53, 1000));
    assert!(node.reaches(WIRE, A, &to_a));
    assert!(
        !node.reaches(WIRE, C, &to_a),
        "flows are an interface's own"
    );
}

#[test]
fn a_flow_is_confirmed_by_its_openers_second_packet_after_an_answer() {
    let mut node = one_way();
    let opening = packet(v4(A), v4(B), UDP, &udp(1000, 53));
    let answer = packet(v4(B), v4(A), UDP, &udp(53, 1000));
    assert!(node.reaches(A, B, &opening));
    assert!(node.reaches(A, B, &opening));
    assert_eq!(node.flows("flows", A).len(), 0);
    assert!(node.reaches(B, A, &answer));
    assert_eq!(node.flows("flows_new", A)[0].1.state, FLOW_ANSWERED);
    assert!(node.reaches(A, B, &opening));
    for pod in [A, B] {
        assert_eq!(node.flows("flows_new", pod).len(), 0);
        let flows = node.flows("flows", pod);
        assert_eq!(flows[0].1.state, FLOW_ESTABLISHED);
        let opener = if pod == A { SIDE_POD } else { SIDE_REMOTE };
        assert_eq!(flows[0].1.opener, opener);
    }
    let (_, theirs) = node.flows("flows", B)[0];
    assert_eq!(
        theirs.from, A,
        "a receiver knows by which interface it came"
    );
    assert!(node.reaches(B, A, &answer));
}

#[test]
fn flows_are_forgotten_after_their_silence() {
    let mut node = one_way();
    let (a, b) = (v4(A), v4(B));
    let cases = [
        (
            packet(a, b, UDP, &udp(1, 53)),
            packet(b, a, UDP, &udp(53, 1)),
            60,
        ),
        (
            packet(a, b, TCP, &tcp(1, 80, SYN)),
            packet(b, a, TCP, &tcp(80, 1, SYN | ACK)),
            120,
        ),
        (echo(a, b, true, 1), echo(b, a, false, 1), 30),
        (packet(a, b, 50, &[7; 20]), packet(b, a, 50, &[7; 20]), 600),
    ];
    for (opening, answer, lifetime) in cases {
        assert!(node.reaches(A, B, &opening));
        node.age(A, lifetime - 2);
        assert!(node.reaches(B, A, &answer), "before {lifetime} s");
        assert!(node.reaches(A, B, &opening));
        // The answer and the second packet have confirmed it: only silence of the new state counts.
        for map in ["flows", "flows_new"] {
            for (key, _) in node.flows(map, A) {
                node.hash::<_, fairlead_netpol_datapath::layout::Flow>(map)
                    .remove(&key)
                    .unwrap();
            }
        }
        assert!(node.reaches(A, B, &opening));
        node.age(A, lifetime + 2);
        assert!(!node.reaches(B, A, &answer), "after {lifetime} s");
    }
}

#[test]
fn an_established_connection_may_be_silent_for_days() {
    let mut node = one_way();
    let (a, b) = (v6(A), v6(B));
    assert!(node.reaches(A, B, &packet(a, b, TCP, &tcp(1, 80, SYN))));
    assert!(node.reaches(B, A, &packet(b, a, TCP, &tcp(80, 1, SYN | ACK))));
    assert!(node.reaches(A, B, &packet(a, b, TCP, &tcp(1, 80, ACK))));
    node.age(A, 5 * 86_400 - 60);
    assert!(node.reaches(B, A, &packet(b, a, TCP, &tcp(80, 1, ACK))));
    node.age(A, 5 * 86_400 + 60);
    assert!(!node.reaches(B, A, &packet(b, a, TCP, &tcp(80, 1, ACK))));
}

#[test]
fn a_closed_connection_is_forgotten_soon_and_its_ports_can_be_used_again() {
    for closing in [&[(A, FIN | ACK), (B, FIN | ACK)][..], &[(B, RST)]] {
        let mut node = one_way();
        let segment = |from: u32, flags| match from {
            A => packet(v4(A), v4(B), TCP, &tcp(1000, 80, flags)),
            _ => packet(v4(B), v4(A), TCP, &tcp(80, 1000, flags)),
        };
        assert!(node.reaches(A, B, &segment(A, SYN)));
        assert!(node.reaches(B, A, &segment(B, SYN | ACK)));
        assert!(node.reaches(A, B, &segment(A, ACK)));
        for (from, flags) in closing {
            assert!(node.reaches(*from, A + B - from, &segment(*from, *flags)));
        }
        assert_eq!(node.flows("flows", A)[0].1.state, FLOW_CLOSING);
        assert!(node.reaches(A, B, &segment(A, ACK)), "the last segment");

        assert!(node.reaches(A, B, &segment(A, SYN)), "a new connection");
        assert_eq!(node.flows("flows", A).len(), 0);
        assert_eq!(node.flows("flows_new", A).len(), 1);
        assert!(node.reaches(B, A, &segment(B, SYN | ACK)));
        assert!(node.reaches(A, B, &segment(A, RST)));
        node.age(A, 130);
        assert!(!node.reaches(B, A, &segment(B, ACK)));
    }
}

#[test]
fn a_syn_against_the_opener_is_a_connection_of_its_own() {
    let mut node = one_way();
    let syn = packet(v4(A), v4(B), TCP, &tcp(1000, 80, SYN));
    let back = packet(v4(B), v4(A), TCP, &tcp(80, 1000, SYN));
    assert!(node.reaches(A, B, &syn));
    assert!(node.reaches(B, A, &back), "both at once");
    assert!(!node.reaches(B, A, &back), "but later it would be a way in");
}

#[test]
fn policy_is_asked_for_every_packet_of_the_opener() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, set(7), OPEN);
    node.cell(7, class(A), ALL);
    let segment = |flags| packet(v4(A), v4(B), TCP, &tcp(1000, 80, flags));
    let answer = packet(v4(B), v4(A), TCP, &tcp(80, 1000, SYN | ACK));
    assert!(node.reaches(A, B, &segment(SYN)));
    assert!(node.reaches(B, A, &answer));
    assert!(node.reaches(A, B, &segment(ACK)));
    node.change(B, |b| b.ingress = DENY);
    assert!(!node.reaches(A, B, &segment(ACK)), "cut at once");
    node.change(B, |b| b.ingress = OPEN);
    assert!(node.reaches(A, B, &segment(ACK)), "and back, without a SYN");
}

#[test]
fn an_answer_may_leave_as_long_as_what_it_answers_may_come() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, set(7), DENY);
    node.cell(7, class(A), ALL);
    let opening = packet(v4(A), v4(B), UDP, &udp(1000, 53));
    let answer = packet(v4(B), v4(A), UDP, &udp(53, 1000));
    assert!(node.reaches(A, B, &opening));
    assert!(node.reaches(B, A, &answer));
    node.cell(7, class(A), 0);
    assert!(!node.reaches(B, A, &answer));
    node.cell(7, class(A), ALL);
    assert!(node.reaches(A, B, &opening));
    assert!(node.reaches(B, A, &answer));
}

#[test]
fn a_pod_answers_one_that_nat_hides_and_the_node() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, set(7), DENY);
    node.cell(7, class(A), ALL);
    for (from, port) in [(A, 1000), (NODE, 1001)] {
        let opening = packet(ip("192.0.2.1"), v4(B), TCP, &tcp(port, 80, SYN));
        assert!(node.arrives(from, B, 0, &opening));
        let answer = packet(v4(B), ip("192.0.2.1"), TCP, &tcp(80, port, SYN | ACK));
        assert!(node.reaches_node(B, &answer));
    }
    node.cell(7, class(A), 0);
    let answer = packet(v4(B), ip("192.0.2.1"), TCP, &tcp(80, 1000, ACK));
    assert!(!node.reaches_node(B, &answer), "A may no longer ask");
}

#[test]
fn what_was_refused_where_it_left_lets_no_answer_in() {
    let mut node = Node::new();
    node.pod(A, DENY, DENY);
    for of in [v4, v6] {
        assert!(!node.leaves(A, &packet(of(A), of(99), UDP, &udp(1000, 53))));
        assert!(!node.reaches(WIRE, A, &packet(of(99), of(A), UDP, &udp(53, 1000))));
    }
}

#[test]
fn echo_replies_pass_for_requests_only() {
    let mut node = one_way();
    for of in [v4, v6] {
        let (a, b) = (of(A), of(B));
        assert!(!node.reaches(B, A, &echo(b, a, false, 7)), "unasked");
        assert!(node.reaches(A, B, &echo(a, b, true, 7)));
        assert!(node.reaches(B, A, &echo(b, a, false, 7)));
        assert!(
            !node.reaches(B, A, &echo(b, a, false, 8)),
            "another identifier"
        );
        assert!(
            !node.reaches(B, A, &echo(b, a, true, 7)),
            "a request of the same identifier"
        );
    }
}

#[test]
fn an_echo_reply_opens_nothing() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, OPEN, DENY);
    assert!(node.reaches(A, B, &echo(v4(A), v4(B), false, 7)));
    assert!(!node.reaches(B, A, &echo(v4(B), v4(A), true, 7)));
    assert_eq!(node.flows("flows_new", B).len(), 0);
}

#[test]
fn becoming_isolated_cuts_nothing_that_is_answered() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    let out = packet(v4(A), ip("192.0.2.1"), TCP, &tcp(1000, 80, SYN));
    let back = |flags| packet(ip("192.0.2.1"), v4(A), TCP, &tcp(80, 1000, flags));
    assert!(node.leaves(A, &out));
    node.change(A, |a| a.ingress = DENY);
    assert!(node.reaches(WIRE, A, &back(SYN | ACK)));
    assert!(!node.reaches(WIRE, A, &back(SYN)));
}

#[test]
fn connections_older_than_the_programs_go_on_in_the_grace() {
    let mut node = Node::new();
    node.pod(A, DENY, DENY);
    let segment = |flags| packet(v4(A), ip("192.0.2.1"), TCP, &tcp(1000, 80, flags));
    let answer = |port, flags| packet(ip("192.0.2.1"), v4(A), TCP, &tcp(port, 1000, flags));
    assert!(!node.leaves(A, &segment(ACK)));
    assert!(!node.reaches(WIRE, A, &answer(80, ACK)));
    node.change(A, |a| a.grace_until = u64::MAX);
    assert!(node.reaches(WIRE, A, &answer(80, ACK)));
    assert!(
        !node.reaches(WIRE, A, &answer(81, SYN)),
        "a new one does not"
    );
    assert!(!node.reaches(WIRE, A, &packet(ip("192.0.2.1"), v4(A), UDP, &udp(1, 2))));
    node.change(A, |a| a.grace_until = 1);
    assert!(node.reaches(WIRE, A, &answer(80, ACK)), "known by now");
    assert!(
        !node.reaches(WIRE, A, &answer(82, ACK)),
        "the grace is over"
    );

    node.change(A, |a| a.grace_until = u64::MAX);
    assert!(node.leaves(A, &packet(v4(A), ip("192.0.2.1"), TCP, &tcp(1001, 80, ACK))));
}

#[test]
fn in_the_grace_rules_say_who_opened_a_connection() {
    let mut node = Node::new();
    node.pod(A, OPEN, OPEN);
    node.pod(B, set(7), DENY);
    node.cell(7, class(A), ALL);
    node.change(B, |b| b.grace_until = u64::MAX);
    assert!(node.reaches(B, A, &packet(v4(B), v4(A), TCP, &tcp(80, 1000, ACK))));
    let flows = node.flows("flows_new", B);
    assert_eq!(flows[0].1.opener, SIDE_REMOTE, "A may ask B, so it did");
    node.change(B, |b| b.grace_until = 0);
    assert!(node.reaches(B, A, &packet(v4(B), v4(A), TCP, &tcp(80, 1000, ACK))));
}
