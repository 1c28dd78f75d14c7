//! Pods cannot speak to the nodes' tunnel: forged packets to its port are dropped where they leave the pod.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, Element, Expr, Field, Hook, Key, KeyType, Policy, Rule, Set,
    TableFamily, TableName, Test,
};
use fairlead_cni_netlink::{LinkName, Route};
use fairlead_e2e_lab::{Heard, LIMIT, Namespace, send_datagram, serve_echo, wait_reach, wait_tcp};
use serde_json::{Value, json};

use crate::bridge::{self, with};
use crate::direct;
use crate::frame::{Frame, send};
use crate::node::{Container, Node, address, container};

/// The tunnel's port, and one beside it.
const PORT: u16 = 4789;
const OTHER: u16 = 4790;

pub(crate) fn table() -> TableName {
    TableName::new(TableFamily::Netdev, "fairlead-guard")
}

/// Fills the guard as the agent does.
pub(crate) fn fill(node: &Node, nodes: &[IpAddr]) {
    let mut batch = Batch::new();
    batch.add_table(&table());
    batch.add_chain(&Chain::regular(&table(), "guard"));
    for (name, v4, field) in [
        ("nodes4", true, Field::IpDaddr),
        ("nodes6", false, Field::Ip6Daddr),
    ] {
        let key = if v4 {
            KeyType::Ipv4Addr
        } else {
            KeyType::Ipv6Addr
        };
        let set = Set::new(&table(), name, &[key]);
        batch.add_set(&set);
        let of_family = nodes.iter().filter(|ip| ip.is_ipv4() == v4);
        let elements: Vec<Element> = of_family.map(|ip| Element::key(Key::from(*ip))).collect();
        batch.add_elements(&set, &elements);
        let rule = Rule::new(&table(), "guard")
            .when(Field::L4Proto, Test::Is(Key::byte(17)))
            .when(Field::Dport, Test::Is(Key::port(PORT)))
            .when(field, Test::In(name.into()))
            .counter()
            .deny();
        batch.append_rule(&rule);
    }
    node.host.nft().unwrap().commit(&batch).unwrap();
}

/// How many packets the guard has dropped.
fn dropped(node: &Node) -> u64 {
    let rules = node.host.nft().unwrap().rules(&table(), Some("guard"));
    let packets = |expr: &Expr| match expr {
        Expr::Counter { packets, .. } => *packets,
        _ => 0,
    };
    let rules = rules.unwrap();
    rules
        .iter()
        .flat_map(|rule| &rule.expressions)
        .map(packets)
        .sum()
}

/// The names of the chains that lead to the guard.
pub(crate) fn guarded(node: &Node) -> Vec<String> {
    let chains = node.host.nft().unwrap().chains().unwrap().into_iter();
    let ours = chains.filter(|chain| chain.table == table() && chain.base.is_some());
    ours.map(|chain| chain.name).collect()
}

/// Nodes in mode vxlan, each with a configuration: pods of the cluster's role, and bridged ones.
pub(crate) fn roles() -> [(Node, Value); 2] {
    let (routed, bridged) = (Node::new(), Node::new());
    for node in [&routed, &bridged] {
        node.publish_as("vxlan", &direct::RANGES, 1450);
        node.forward();
    }
    let confs = (
        routed.vxlan(),
        with(
            bridge::everything(&bridged),
            "nodeFile",
            bridged.node_file().to_str().unwrap(),
        ),
    );
    [(routed, confs.0), (bridged, confs.1)]
}

fn network(conf: &Value) -> &str {
    conf["name"].as_str().unwrap()
}

/// Another node, which knows the way back to pods, and the addresses of both nodes.
fn peer(node: &Node) -> (Namespace, Vec<IpAddr>) {
    let (peer, v4, v6) = node.world();
    let mut netlink = peer.netlink().unwrap();
    for (range, via) in [("10.0.0.0/8", v4.host), ("fd00::/8", v6.host)] {
        let route = Route::via(range.parse().unwrap(), via, None);
        netlink.add_route(&route).unwrap();
    }
    let own = ["192.0.2.1", "2001:db8::1"].map(|ip| ip.parse().unwrap());
    (
        peer,
        own.into_iter().chain([v4.server, v6.server]).collect(),
    )
}

/// Waits for packets on both ports of `to`, which is the host's or the peer's.
fn listen(node: &Node, peer: &Namespace, to: IpAddr) -> [UdpSocket; 2] {
    let host = to.to_string().starts_with("192.0.2.") || to.to_string() == "2001:db8::1";
    let ns = if host { &node.host } else { peer };
    [PORT, OTHER].map(|port| {
        let socket = ns.run(|| UdpSocket::bind((to, port))).unwrap().unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket
    })
}

fn forged(pod: &Container, result: &Value, to: SocketAddr) {
    let mac = |at: usize| {
        result["interfaces"][at]["mac"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap()
    };
    let inside = result["interfaces"].as_array().unwrap().len() - 1;
    let frame = Frame {
        macs: (mac(inside), mac(0)),
        from: SocketAddr::new(address(result, to.is_ipv4()), PORT),
        to,
    };
    send(&pod.ns, "eth0", &frame.vxlan(7));
}

fn arrives(socket: &UdpSocket) {
    let received = socket.recv(&mut [0; 2048]);
    received.unwrap_or_else(|error| panic!("{error} at {socket:?}"));
}

#[test]
fn forged_frames_to_the_tunnel_of_any_node_are_dropped_and_everything_else_passes() {
    for (node, conf) in roles() {
        let (peer, nodes) = peer(&node);
        fill(&node, &nodes);
        let pod = container("c1");
        let result = node.add(&pod, &conf).unwrap();
        node.check(&pod, &conf, &result).unwrap();
        for to in nodes {
            let [tunnel, other] = listen(&node, &peer, to);
            let before = dropped(&node);
            forged(&pod, &result, SocketAddr::new(to, PORT));
            // Larger than the MTU, so in fragments.
            let plain = pod
                .ns
                .run(|| UdpSocket::bind((address(&result, to.is_ipv4()), 0)));
            let plain = plain.unwrap().unwrap();
            plain.send_to(&[0; 4000], (to, PORT)).unwrap();
            // What passes comes after what does not.
            forged(&pod, &result, SocketAddr::new(to, OTHER));
            arrives(&other);
            plain.send_to(&[0; 4000], (to, OTHER)).unwrap();
            arrives(&other);
            tunnel.set_nonblocking(true).unwrap();
            assert!(tunnel.recv(&mut [0; 2048]).is_err(), "{conf} to {to}");
            assert_eq!(dropped(&node) - before, 2, "{conf} to {to}");
        }
    }
}

#[test]
fn the_same_frames_arrive_where_nothing_guards() {
    for (node, conf) in roles() {
        let (peer, nodes) = peer(&node);
        node.publish(&direct::RANGES, 1450);
        let conf = if conf["type"] == "bridge" {
            conf
        } else {
            node.direct()
        };
        let pod = container("c1");
        let result = node.add(&pod, &conf).unwrap();
        assert!(guarded(&node).is_empty());
        for to in nodes {
            let [tunnel, _] = listen(&node, &peer, to);
            forged(&pod, &result, SocketAddr::new(to, PORT));
            arrives(&tunnel);
        }
    }
}

#[test]
fn tcp_to_the_port_and_tunnels_between_pods_pass() {
    for (node, conf) in roles() {
        fill(
            &node,
            &["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        );
        let (one, other) = (container("one"), container("other"));
        node.add(&one, &conf).unwrap();
        let second = node.add(&other, &conf).unwrap();
        let _host = serve_echo(&node.host, PORT).unwrap();
        let _pod = serve_echo(&other.ns, PORT).unwrap();
        let heard = Heard::new(&node.host, PORT).unwrap();
        for ip in ["192.0.2.1", "2001:db8::1"] {
            let to = SocketAddr::new(ip.parse().unwrap(), PORT);
            send_datagram(&one.ns, to).unwrap();
            wait_tcp(&one.ns, to).unwrap();
            assert_eq!(heard.count().unwrap(), 0, "{to}");
        }
        for v4 in [true, false] {
            let to = SocketAddr::new(address(&second, v4), PORT);
            wait_reach(&one.ns, to).unwrap();
        }
    }
}

#[test]
fn del_and_a_failed_add_leave_no_chain() {
    for (node, conf) in roles() {
        fill(&node, &["192.0.2.1".parse().unwrap()]);
        let pod = container("c1");
        // The first pod makes what belongs to the network.
        let result = node.add(&pod, &conf).unwrap();
        let links = result["interfaces"].as_array().unwrap();
        let name = links[links.len() - 2]["name"].as_str().unwrap().to_owned();
        assert_eq!(guarded(&node), [name]);
        node.del(&pod, &conf).unwrap();
        let before = node.state(network(&conf));
        assert!(guarded(&node).is_empty());
        node.add(&pod, &conf).unwrap();
        node.del(&pod, &conf).unwrap();
        node.del(&pod, &conf).unwrap();
        before.assert_same(&node.state(network(&conf)), "after DEL");
    }
}

#[test]
fn a_pod_that_cannot_be_guarded_is_not_attached() {
    for (node, conf) in roles() {
        // Nothing can jump to a base chain.
        let base = Base {
            hook: Hook::Ingress,
            kind: ChainKind::Filter,
            priority: 0,
            policy: Policy::Accept,
            device: Some("lo".into()),
        };
        let mut batch = Batch::new();
        batch.add_table(&table());
        batch.add_chain(&Chain::base(&table(), "guard", base));
        node.host.nft().unwrap().commit(&batch).unwrap();
        let links = || {
            let links = node.host.netlink().unwrap().links().unwrap();
            links
                .iter()
                .any(|link| link.name.as_str().starts_with("fl"))
        };
        let error = node.add(&container("c1"), &conf).unwrap_err();
        assert_eq!(error.code, 999);
        assert!(error.msg.contains("nft"), "{}", error.msg);
        assert!(!links());
        assert_eq!(guarded(&node), ["guard"]);
        assert!(node.leases(network(&conf)).is_empty());
    }
}

#[test]
fn a_failure_after_the_guard_was_set_removes_it() {
    let [_, (node, conf)] = roles();
    let first = container("c1");
    node.add(&first, &conf).unwrap();
    node.del(&first, &conf).unwrap();
    let mut moved = conf.clone();
    moved["ipam"]["ranges"] = json!([[{"subnet": "10.7.0.0/16"}]]);
    let error = node.add(&container("c2"), &moved).unwrap_err();
    assert_eq!(
        error.msg,
        "bridge cni0 has address 10.1.0.1/16, wanted is 10.7.0.1/16: remove it or set forceAddress"
    );
    assert!(guarded(&node).is_empty());
}

#[test]
fn gc_and_the_other_cluster_role_remove_the_chains_too() {
    for (node, conf) in roles() {
        let (keep, lost, orphan) = (container("keep"), container("lost"), container("orphan"));
        let kept = node.add(&keep, &conf).unwrap();
        let own = guarded(&node);
        node.add(&lost, &conf).unwrap();
        // Whoever removes a link does not know of its chains.
        let result = node.add(&orphan, &conf).unwrap();
        let links = result["interfaces"].as_array().unwrap();
        let name = links[links.len() - 2]["name"].as_str().unwrap();
        let name = LinkName::new(name).unwrap();
        node.host.netlink().unwrap().delete_link(name).unwrap();
        node.gc(&conf, &["keep"]).unwrap();
        assert_eq!(guarded(&node), own);
        node.check(&keep, &conf, &kept).unwrap();
        let conf = if conf["type"] == "bridge" {
            conf
        } else {
            node.direct()
        };
        node.del(&keep, &conf).unwrap();
        assert!(guarded(&node).is_empty());
    }
}

#[test]
fn either_cluster_role_guards_on_a_node_with_a_tunnel() {
    let [(node, vxlan), _] = roles();
    let pods = ["c1", "c2", "c3"].map(container);
    node.add(&pods[0], &node.direct()).unwrap();
    assert_eq!(guarded(&node).len(), 1);
    // The agent is about to switch modes: the configuration says so, the node file not yet.
    node.publish(&direct::RANGES, 1450);
    node.add(&pods[1], &vxlan).unwrap();
    assert_eq!(guarded(&node).len(), 2);
    node.add(&pods[2], &node.direct()).unwrap();
    assert_eq!(guarded(&node).len(), 2);
}

#[test]
fn check_misses_the_guard_that_somebody_removed() {
    for (node, conf) in roles() {
        let pod = container("c1");
        let result = node.add(&pod, &conf).unwrap();
        node.check(&pod, &conf, &result).unwrap();
        let name = guarded(&node).remove(0);
        let mut batch = Batch::new();
        batch.delete_chain(&table(), &name);
        node.host.nft().unwrap().commit(&batch).unwrap();
        let error = node.check(&pod, &conf, &result).unwrap_err();
        assert_eq!(
            (error.code, error.msg),
            (
                101,
                format!(
                    "the guard of interface {name} is missing in nftables table netdev fairlead-guard"
                )
            )
        );
    }
}

#[test]
fn a_bridged_pod_waits_for_a_node_file_that_can_be_read() {
    let [_, (node, conf)] = roles();
    std::fs::write(node.node_file(), "{\"version\":1,").unwrap();
    let pod = container("c1");
    let error = node.add(&pod, &conf).unwrap_err();
    assert_eq!(
        (error.code, error.msg),
        (
            11,
            format!(
                "node file {} cannot be used, the agent writes it when the node is ready",
                node.node_file().display()
            )
        )
    );
    std::fs::remove_file(node.node_file()).unwrap();
    node.add(&pod, &conf).unwrap();
    assert!(guarded(&node).is_empty());
}
