//! Flows that go from host end to host end have one entry for both; their packets go on unasked while nothing changes.

use fairlead_netpol_datapath::layout::{Flow, SETTING_SHORTCUT};

use crate::frame::{ACK, FIN, RST, SYN, TCP, UDP, packet, tcp, udp};
use crate::node::{A, ALL, B, C, DENY, DROP, Node, OPEN, PAIR, PASS, REDIRECT, class, set, v4, v6};
use crate::shortcut::{back, there};

/// Two pods with a connection from A to B, which B's policy allows.
fn connected() -> Node {
    let mut node = Node::new();
    node.changing = false;
    node.pod(A, DENY, OPEN);
    node.pod(B, set(7), DENY);
    node.cell(7, class(A), ALL);
    node.settings(SETTING_SHORTCUT, 0);
    for (from, segment) in [(A, there(SYN)), (B, back(SYN | ACK)), (A, there(ACK))] {
        assert_eq!(node.send(from, &segment).code, REDIRECT);
    }
    assert_eq!(node.pairs().len(), 1);
    node
}

fn change_pair(node: &mut Node, change: impl Fn(&mut Flow)) {
    for map in ["flows_new", "flows"] {
        for (key, mut flow) in node.flows(map, PAIR) {
            change(&mut flow);
            node.hash(map).insert(key, flow, 0).unwrap();
        }
    }
}

#[test]
fn both_ends_have_one_entry_whoever_opens_it() {
    let mut node = connected();
    let (_, flow) = node.flows("flows", PAIR)[0];
    assert_eq!((flow.local, flow.from, flow.opener), (A, B, 1));
    for pod in [A, B] {
        for map in ["flows", "flows_new"] {
            assert_eq!(node.flows(map, pod), []);
        }
    }
    node.change(B, |b| b.egress = OPEN);
    node.change(A, |a| a.ingress = OPEN);
    for of in [v4, v6] {
        let syn = packet(of(B), of(A), TCP, &tcp(2000, 80, SYN));
        assert_eq!(node.send(B, &syn).code, REDIRECT);
    }
    for (_, flow) in node.flows("flows_new", PAIR) {
        assert_eq!((flow.local, flow.from, flow.opener), (A, B, 0));
    }
}

#[test]
fn packets_go_on_unasked_until_the_next_generation() {
    let mut node = connected();
    node.change(B, |b| b.ingress = DENY);
    for (from, segment) in [(A, there(ACK)), (B, back(ACK)), (A, there(FIN | ACK))] {
        let (ran, after) = node.run_out("from_pod", from, from, 0xffff, &segment);
        assert_eq!((ran.code, ran.carried), (REDIRECT, 0));
        let to = u8::try_from(A + B - from).unwrap();
        assert_eq!(after[..12], [2, 0, 0, 0, 1, to, 2, 0, 0, 0, 2, to]);
        assert_eq!(after[12..], segment[12..]);
    }
    node.judge_anew();
    assert_eq!(node.send(A, &there(ACK)).code, DROP);
}

#[test]
fn a_verdict_holds_for_a_second_at_most() {
    let mut node = connected();
    node.change(B, |b| b.ingress = DENY);
    node.age(PAIR, 2);
    assert_eq!(node.send(A, &there(ACK)).code, DROP);
    node.change(B, |b| b.ingress = set(7));
    assert_eq!(node.send(A, &there(ACK)).code, REDIRECT);
    node.change(B, |b| b.ingress = DENY);
    assert_eq!(node.send(A, &there(ACK)).code, REDIRECT, "judged just now");
}

#[test]
fn whatever_changes_the_next_packet_is_judged_by_it() {
    type Change = fn(&mut Node);
    let changes: [(&str, Change); 5] = [
        ("the receiver's policy", |node| {
            node.change(B, |b| b.ingress = DENY);
        }),
        ("the sender's policy", |node| {
            node.change(A, |a| a.egress = DENY);
        }),
        ("a cell", |node| node.cell(7, class(A), 0)),
        ("the sender's class", |node| {
            node.address(v4(A), class(C), A);
        }),
        ("the sender's addresses", |node| {
            node.change(A, |a| a.ip4 = v4(C).into());
        }),
    ];
    for (what, change) in changes {
        let mut node = connected();
        change(&mut node);
        node.judge_anew();
        assert_eq!(node.send(A, &there(ACK)).code, DROP, "{what}");
    }
    let mut node = connected();
    node.settings(0, 0);
    node.judge_anew();
    assert_eq!(
        node.send(A, &there(ACK)).code,
        PASS,
        "the shortcut's switch"
    );
}

#[test]
fn nobody_else_gets_through_by_a_pair() {
    let mut node = connected();
    node.pod(C, DENY, DENY);
    assert_eq!(node.send(C, &there(ACK)).code, DROP, "another's address");
    // Another pod has the receiver's address by now, and nobody has said so yet.
    node.address(v4(B), class(B), C);
    node.change(C, |c| c.ip4 = v4(B).into());
    assert_eq!(node.send(A, &there(ACK)).code, PASS);
    assert!(!node.reaches(A, C, &there(ACK)));
}

#[test]
fn an_answer_to_what_may_not_leave_any_more_does_not_come() {
    let mut node = connected();
    node.change(A, |a| a.egress = DENY);
    node.judge_anew();
    assert_eq!(node.send(A, &there(ACK)).code, DROP);
    assert_eq!(node.pairs(), []);
    assert!(!node.reaches(B, A, &back(ACK)));
}

#[test]
fn a_connection_closes_and_its_ports_are_used_anew() {
    for flags in [FIN | ACK, RST] {
        let mut node = connected();
        assert_eq!(node.send(A, &there(flags)).code, REDIRECT);
        let (_, flow) = node.flows("flows", PAIR)[0];
        assert!(flow.fins != 0 || flow.state == 3, "{flags}: {flow:?}");
    }
    // The other way round, where nothing is allowed.
    let mut node = connected();
    assert_eq!(node.send(A, &there(RST)).code, REDIRECT);
    assert_eq!(node.send(B, &back(SYN)).code, DROP);
    assert!(!node.reaches(B, A, &back(ACK)));
    // The same way, over an entry that is confirmed.
    let mut node = connected();
    for (from, segment) in [(A, there(FIN | ACK)), (B, back(FIN | ACK)), (A, there(ACK))] {
        assert_eq!(node.send(from, &segment).code, REDIRECT);
    }
    assert_eq!(node.send(A, &there(SYN)).code, REDIRECT);
    assert_eq!(node.flows("flows", PAIR), []);
    assert_eq!(node.flows("flows_new", PAIR)[0].1.state, 0);
}

#[test]
fn a_pair_that_parts_leaves_each_end_what_it_knew() {
    for opener in [A, B] {
        let mut node = connected();
        node.judge_anew();
        change_pair(&mut node, |flow| {
            flow.opener = u8::from(opener == A);
            flow.fins = 1;
        });
        let state = node.pairs()[0].1.state;
        node.settings(0, 0);
        assert_eq!(node.send(A, &there(ACK)).code, PASS);
        assert_eq!(node.pairs(), []);
        for (pod, other) in [(A, B), (B, A)] {
            let (key, flow) = node.flows("flows", pod)[0];
            assert_eq!(key.local, v4(pod).into());
            assert_eq!(flow.state, state);
            assert_eq!(flow.opener, u8::from(opener == pod), "1: this pod");
            assert_eq!(flow.from, other);
            let fins = if pod == A { 1 } else { 2 };
            assert_eq!(flow.fins, fins, "who has sent one");
        }
    }
}

#[test]
fn a_segment_that_came_the_long_way_parts_the_pair() {
    let mut node = connected();
    assert!(node.arrives(A, B, 0, &there(ACK)));
    assert_eq!(node.pairs(), []);
    assert_eq!(node.send(A, &there(ACK)).code, PASS);
    assert_eq!(node.send(B, &back(ACK)).code, PASS);
}

#[test]
fn udp_becomes_one_once_it_goes_the_short_way() {
    let mut node = Node::new();
    node.changing = false;
    node.pod(A, DENY, OPEN);
    node.pod(B, OPEN, DENY);
    node.settings(SETTING_SHORTCUT, 0);
    let ask = packet(v4(A), v4(B), UDP, &udp(1000, 53));
    let answer = packet(v4(B), v4(A), UDP, &udp(53, 1000));
    for round in 0..3 {
        for (from, to, datagram) in [(A, B, &ask), (B, A, &answer)] {
            let code = node.send(from, datagram).code;
            assert_eq!(code == PASS, round == 0 && from == A);
            if code == PASS {
                // The first datagrams may be on their way together.
                assert!(node.reaches(from, to, datagram));
                assert!(node.reaches(from, to, datagram));
            }
        }
    }
    assert_eq!(node.flows("flows", PAIR).len(), 1);
    for pod in [A, B] {
        for map in ["flows", "flows_new"] {
            assert_eq!(node.flows(map, pod), []);
        }
    }
}
