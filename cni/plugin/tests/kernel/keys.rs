//! Every key of the bridge role that is not about addresses.

use std::net::SocketAddr;

use fairlead_cni_netlink::{Link, LinkChange, LinkFlags, LinkName, Mac};
use fairlead_e2e_lab::{Heard, ip, send_datagram, serve_echo, wait_reach};
use serde_json::{Value, json};

use crate::bridge::{conf, with};
use crate::node::{Node, address, container, give};

/// A network without addresses.
fn plain() -> Value {
    json!({"cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "bridge": "cni0"})
}

fn host_link(node: &Node, name: &Value) -> Link {
    node.host
        .netlink()
        .unwrap()
        .link(&LinkName::new(name.as_str().unwrap()).unwrap())
        .unwrap()
}

/// The host end of the pod that a result is for.
fn port(node: &Node, result: &Value) -> Link {
    host_link(node, &result["interfaces"][1]["name"])
}

fn inside(pod: &crate::node::Container) -> Link {
    pod.ns
        .netlink()
        .unwrap()
        .link(&LinkName::new("eth0").unwrap())
        .unwrap()
}

#[test]
fn options_of_the_port_are_set_and_checked() {
    for (key, is_set) in [
        (
            "hairpinMode",
            (|port| port.hairpin) as fn(&fairlead_cni_netlink::BridgePort) -> bool,
        ),
        ("portIsolation", |port| port.isolated),
    ] {
        let node = Node::new();
        let pod = container("c1");
        let on = with(conf(&node), key, true);
        let result = node.add(&pod, &on).unwrap();
        assert!(is_set(&port(&node, &result).port.unwrap()), "{key}");
        node.check(&pod, &on, &result).unwrap();
        let error = node.check(&pod, &conf(&node), &result).unwrap_err();
        assert_eq!(error.code, 101);
        assert!(
            error.msg.ends_with("is on, it must be off"),
            "{}",
            error.msg
        );
    }
}

#[test]
fn isolated_pods_reach_the_host_and_not_each_other() {
    let node = Node::new();
    let conf = with(conf(&node), "portIsolation", true);
    let (one, other) = (container("one"), container("other"));
    node.add(&one, &conf).unwrap();
    let second = node.add(&other, &conf).unwrap();
    let _pod = serve_echo(&other.ns, 7).unwrap();
    let _host = serve_echo(&node.host, 8).unwrap();
    // What waits for no neighbour is on its way before the host is asked.
    let to = SocketAddr::new(address(&second, true), 7);
    let mac = inside(&other).mac.unwrap();
    let neighbour = format!("neigh add {} lladdr {mac} dev eth0", to.ip());
    ip(&one.ns, &neighbour).unwrap();
    let heard = Heard::new(&other.ns, 7).unwrap();
    send_datagram(&one.ns, to).unwrap();
    wait_reach(&one.ns, "10.1.0.1:8".parse().unwrap()).unwrap();
    assert_eq!(heard.count().unwrap(), 0);
}

#[test]
fn the_bridge_is_promiscuous_when_asked() {
    let node = Node::new();
    let pod = container("c1");
    let on = with(conf(&node), "promiscMode", true);
    let result = node.add(&pod, &on).unwrap();
    assert!(
        host_link(&node, &json!("cni0"))
            .flags
            .contains(LinkFlags::PROMISC)
    );
    node.check(&pod, &on, &result).unwrap();
    let error = node.check(&pod, &conf(&node), &result).unwrap_err();
    assert_eq!(
        error.msg,
        "promiscuous mode of bridge cni0 is on, it must be off"
    );
}

#[test]
fn the_mtu_is_that_of_bridge_and_pair() {
    let node = Node::new();
    let pod = container("c1");
    let result = node.add(&pod, &with(conf(&node), "mtu", 1400)).unwrap();
    assert_eq!(result["interfaces"][2]["mtu"], 1400);
    for link in [
        host_link(&node, &json!("cni0")),
        port(&node, &result),
        inside(&pod),
    ] {
        assert_eq!(link.mtu, 1400, "{}", link.name);
    }
}

#[test]
fn a_hardware_address_is_taken_from_wherever_it_is_asked_for() {
    let node = Node::new();
    let wanted: Mac = "02:00:5e:10:00:01".parse().unwrap();
    for key in ["runtimeConfig", "args", "CNI_ARGS"] {
        let pod = container("c1");
        let mac = json!({"mac": wanted.to_string()});
        let (conf, args) = match key {
            "runtimeConfig" => (with(conf(&node), key, mac), ""),
            "args" => (with(conf(&node), key, json!({"cni": mac})), ""),
            _ => (
                conf(&node),
                "IgnoreUnknown=1;K8S_POD_NAME=x;MAC=02:00:5e:10:00:01",
            ),
        };
        let mut vars = pod.vars().to_vec();
        vars.push(("CNI_ARGS", args));
        let result = node.call("bridge", "ADD", &vars, &conf).unwrap();
        assert_eq!(result["interfaces"][2]["mac"], wanted.to_string());
        assert_eq!(inside(&pod).mac, Some(wanted));
        node.del(&pod, &conf).unwrap();
    }
}

#[test]
fn a_pod_cannot_send_with_another_hardware_address() {
    let node = Node::new();
    let checked = with(conf(&node), "macspoofchk", true);
    let pod = container("c1");
    let result = node.add(&pod, &checked).unwrap();
    let _host = serve_echo(&node.host, 8).unwrap();
    let to = "10.1.0.1:8".parse().unwrap();
    wait_reach(&pod.ns, to).unwrap();
    node.check(&pod, &checked, &result).unwrap();
    let own = inside(&pod).mac.unwrap();
    let set = |mac| {
        let change = LinkChange::of(LinkName::new("eth0").unwrap()).mac(mac);
        pod.ns.netlink().unwrap().set_link(&change).unwrap();
    };
    let heard = Heard::new(&node.host, 9).unwrap();
    set("02:00:00:00:00:99".parse().unwrap());
    // Nothing is to wait for an answer to ARP.
    let mac = host_link(&node, &json!("cni0")).mac.unwrap();
    ip(
        &pod.ns,
        &format!("neigh replace 10.1.0.1 lladdr {mac} dev eth0"),
    )
    .unwrap();
    send_datagram(&pod.ns, "10.1.0.1:9".parse().unwrap()).unwrap();
    set(own);
    wait_reach(&pod.ns, to).unwrap();
    assert_eq!(heard.count().unwrap(), 0);
    drop(heard);
    let ruleset = || node.host.output("nft", &["list", "ruleset"]).unwrap();
    let chain = format!(
        "chain {} {{",
        result["interfaces"][1]["name"].as_str().unwrap()
    );
    assert!(ruleset().contains(&chain), "{}", ruleset());
    node.del(&pod, &checked).unwrap();
    assert!(!ruleset().contains("chain"), "{}", ruleset());
}

#[test]
fn without_ipam_there_is_a_link_and_nothing_on_it() {
    let node = Node::new();
    let pod = container("c1");
    let result = node.add(&pod, &plain()).unwrap();
    assert!(result["ips"].is_null() && result["routes"].is_null());
    assert!(inside(&pod).is_up());
    node.check(&pod, &plain(), &result).unwrap();
    node.del(&pod, &plain()).unwrap();

    let down = with(plain(), "disableContainerInterface", true);
    let result = node.add(&pod, &down).unwrap();
    assert!(!inside(&pod).is_up());
    node.check(&pod, &down, &result).unwrap();
    node.del(&pod, &down).unwrap();
}

#[test]
fn pods_on_a_bridge_without_addresses_reach_each_other_with_their_own() {
    let node = Node::new();
    let (one, other) = (container("one"), container("other"));
    for (pod, address) in [(&one, "192.168.7.1/24"), (&other, "192.168.7.2/24")] {
        node.add(pod, &plain()).unwrap();
        give(&pod.ns, "eth0", address);
    }
    let _echo = serve_echo(&other.ns, 7).unwrap();
    wait_reach(&one.ns, "192.168.7.2:7".parse().unwrap()).unwrap();
}

#[test]
fn another_address_on_the_bridge_is_an_error_unless_it_may_be_replaced() {
    let node = Node::new();
    let first = container("c1");
    node.add(&first, &conf(&node)).unwrap();
    let mut moved = with(conf(&node), "name", "moved");
    moved["ipam"]["ranges"] = json!([[{"subnet": "10.7.0.0/16"}]]);
    let before = node.state("moved");
    let pod = container("c2");
    let error = node.add(&pod, &moved).unwrap_err();
    assert_eq!(error.code, 999);
    assert_eq!(
        error.msg,
        "bridge cni0 has address 10.1.0.1/16, wanted is 10.7.0.1/16: remove it or set forceAddress"
    );
    before.assert_same(&node.state("moved"), "after the refusal");
    node.add(&pod, &with(moved, "forceAddress", true)).unwrap();
    let mut host = node.host.netlink().unwrap();
    let index = host.index_of(&LinkName::new("cni0").unwrap()).unwrap();
    let addresses = host.addresses_of(index).unwrap();
    let v4: Vec<String> = addresses
        .iter()
        .filter(|a| a.ip.is_ipv4())
        .map(|a| a.ip.to_string())
        .collect();
    assert_eq!(v4, ["10.7.0.1/16"]);
}

#[test]
fn a_gateway_alone_adds_no_route() {
    let node = Node::new();
    let pod = container("c1");
    let mut only = with(conf(&node), "isDefaultGateway", false);
    only["isGateway"] = true.into();
    let result = node.add(&pod, &only).unwrap();
    assert!(result["routes"].is_null());
    assert_eq!(result["ips"][0]["gateway"], "10.1.0.1");
    let _host = serve_echo(&node.host, 8).unwrap();
    wait_reach(&pod.ns, "10.1.0.1:8".parse().unwrap()).unwrap();
}

#[test]
fn duplicate_address_detection_runs_only_when_asked_for() {
    let node = Node::new();
    let pod = container("c1");
    let asked = with(conf(&node), "enabledad", true);
    let result = node.add(&pod, &asked).unwrap();
    let _host = serve_echo(&node.host, 8).unwrap();
    wait_reach(&pod.ns, "[fd00:1::1]:8".parse().unwrap()).unwrap();
    node.check(&pod, &asked, &result).unwrap();
    // A second owner of the address on the same bridge.
    let thief = container("thief");
    node.add(&thief, &plain()).unwrap();
    give(&thief.ns, "eth0", "fd00:1::3/64");
    let error = node.add(&container("c2"), &asked).unwrap_err();
    assert_eq!(
        error.msg,
        "address fd00:1::3 is in use by another host of the network"
    );
    assert_eq!(node.leases("dbnet").len(), 2);
}

#[test]
fn a_device_that_is_no_bridge_is_refused() {
    let node = Node::new();
    let error = node
        .add(&container("c1"), &with(conf(&node), "bridge", "lo"))
        .unwrap_err();
    assert_eq!(error.code, 7);
    assert_eq!(
        error.msg,
        "bridge: \"lo\" is the name of a device that is no bridge"
    );
}

#[test]
fn in_a_cluster_bridged_packets_must_pass_netfilter() {
    let node = Node::new();
    node.publish(&["10.244.1.0/24"], 1500);
    let conf = with(conf(&node), "nodeFile", node.node_file().to_str().unwrap());
    node.sysctl("net/bridge/bridge-nf-call-iptables", "0");
    let error = node.status(&conf).unwrap_err();
    assert_eq!(error.code, 50);
    assert_eq!(
        error.msg,
        "sysctl net.bridge.bridge-nf-call-iptables is 0, it must be 1 for bridged pods in a cluster"
    );
    node.sysctl("net/bridge/bridge-nf-call-iptables", "1");
    node.sysctl("net/bridge/bridge-nf-call-ip6tables", "1");
    node.status(&conf).unwrap();
}
