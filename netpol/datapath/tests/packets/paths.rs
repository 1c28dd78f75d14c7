//! Packets of flows that were judged already go on unasked, until anything changes.

use fairlead_netpol_datapath::layout::{Flow, FlowKey, Path, SETTING_SHORTCUT};

use crate::frame::{ACK, FIN, RST, SYN, TCP, UDP, packet, tcp, udp};
use crate::node::{A, ALL, B, C, DENY, DROP, Node, OPEN, PASS, REDIRECT, class, set, v4};

fn there(flags: u8) -> Vec<u8> {
    packet(v4(A), v4(B), TCP, &tcp(1000, 80, flags))
}

fn back(flags: u8) -> Vec<u8> {
    packet(v4(B), v4(A), TCP, &tcp(80, 1000, flags))
}

fn paths(node: &mut Node, ifindex: u32) -> Vec<(FlowKey, Path)> {
    let map = node.hash::<FlowKey, Path>("paths");
    let paths = map.iter().map(Result::unwrap);
    paths.filter(|(key, _)| key.ifindex == ifindex).collect()
}

/// Two pods with a connection from A to B, which B's policy allows, and a path for either direction.
fn connected() -> Node {
    let mut node = Node::new();
    node.changing = false;
    node.pod(A, DENY, OPEN);
    node.pod(B, set(7), DENY);
    node.cell(7, class(A), ALL);
    node.settings(SETTING_SHORTCUT, 0);
    for (from, segment) in [(A, there(SYN)), (B, back(SYN | ACK))] {
        assert_eq!(node.send(from, &segment).code, REDIRECT);
        assert_eq!(paths(&mut node, from), [], "not before both sides are real");
    }
    for (from, segment) in [(A, there(ACK)), (B, back(ACK))] {
        assert_eq!(node.send(from, &segment).code, REDIRECT);
    }
    for pod in [A, B] {
        assert_eq!(paths(&mut node, pod).len(), 1);
    }
    node
}

/// A flow without entries has to be judged as one that nobody knows: whether packets go on tells of a path.
fn forget_flows(node: &mut Node) {
    for pod in [A, B] {
        for map in ["flows", "flows_new"] {
            for (key, _) in node.flows(map, pod) {
                node.hash::<_, Flow>(map).remove(&key).unwrap();
            }
        }
    }
}

#[test]
fn a_path_is_taken_without_looking_at_the_flow() {
    let mut node = connected();
    forget_flows(&mut node);
    let (_, path) = paths(&mut node, A)[0];
    assert_eq!(path.ifindex, B);
    let frame = there(ACK);
    let (ran, after) = node.run_out("from_pod", A, A, 0, &frame);
    assert_eq!((ran.code, ran.carried), (REDIRECT, 0));
    assert_eq!(after[..6], path.pod_mac);
    assert_eq!(after[6..12], path.host_mac);
    assert_eq!(after[12..], frame[12..]);
    assert_eq!(node.send(B, &back(ACK)).code, REDIRECT);
    node.end_paths();
    assert_eq!(
        node.send(A, &there(ACK)).code,
        PASS,
        "a flow that nobody knows"
    );
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
        node.end_paths();
        assert_eq!(node.send(A, &there(ACK)).code, DROP, "{what}");
    }
    let mut node = connected();
    node.settings(0, 0);
    node.end_paths();
    assert_eq!(
        node.send(A, &there(ACK)).code,
        PASS,
        "the shortcut's switch"
    );
}

#[test]
fn a_path_ends_with_its_second_and_keeps_both_ends_alive() {
    let mut node = connected();
    for pod in [A, B] {
        node.age(pod, 100);
        for (key, mut path) in paths(&mut node, pod) {
            path.until -= 1_000_000_000;
            node.hash("paths").insert(key, path, 0).unwrap();
        }
    }
    let seen = |node: &mut Node, pod| node.flows("flows", pod)[0].1.seen;
    let before = [seen(&mut node, A), seen(&mut node, B)];
    assert_eq!(node.send(A, &there(ACK)).code, REDIRECT);
    assert!(seen(&mut node, A) > before[0] && seen(&mut node, B) > before[1]);
    let after = seen(&mut node, A);
    node.age(A, 100);
    assert_eq!(node.send(A, &there(ACK)).code, REDIRECT);
    assert!(seen(&mut node, A) < after, "it has a path again");
}

#[test]
fn what_begins_or_ends_a_connection_is_followed_at_both_ends() {
    for flags in [FIN | ACK, RST] {
        let mut node = connected();
        assert_eq!(node.send(A, &there(flags)).code, REDIRECT);
        for pod in [A, B] {
            let flow = node.flows("flows", pod)[0].1;
            assert!(flow.fins != 0 || flow.state == 3, "{flags}: {flow:?}");
        }
    }
    // The same ports again, the other way round, where nothing is allowed.
    let mut node = connected();
    assert_eq!(node.send(A, &there(RST)).code, REDIRECT);
    assert_eq!(node.send(B, &back(SYN)).code, DROP);
    assert!(!node.reaches(B, A, &back(ACK)));
}

#[test]
fn a_segment_that_came_the_long_way_ends_the_paths_of_both_ends() {
    let mut node = connected();
    assert!(node.arrives(A, B, 0, &there(ACK)));
    for pod in [A, B] {
        assert_eq!(paths(&mut node, pod), []);
    }
    assert_eq!(node.send(A, &there(ACK)).code, PASS);
    assert_eq!(node.send(B, &back(ACK)).code, PASS);
}

#[test]
fn udp_has_one_once_it_goes_the_short_way() {
    let mut node = Node::new();
    node.changing = false;
    node.pod(A, DENY, OPEN);
    node.pod(B, OPEN, DENY);
    node.settings(SETTING_SHORTCUT, 0);
    let ask = packet(v4(A), v4(B), UDP, &udp(1000, 53));
    let answer = packet(v4(B), v4(A), UDP, &udp(53, 1000));
    for _ in 0..3 {
        for (from, to, datagram) in [(A, B, &ask), (B, A, &answer)] {
            if node.send(from, datagram).code == PASS {
                assert!(node.reaches(from, to, datagram));
            }
        }
    }
    for pod in [A, B] {
        assert_eq!(paths(&mut node, pod).len(), 1);
    }
}
