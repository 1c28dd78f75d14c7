//! kill -9 at every point of ADD and DEL, then DEL: nothing is left.

use fairlead_cni_netlink::Link;
use serde_json::Value;

use crate::node::{Node, container};
use crate::trace::kill_at;
use crate::{bridge, direct, guard};

/// More than any call makes.
const MANY: usize = 200;

/// Kills `command` at each of its changing system calls in turn; after each, DEL brings the node back to
/// what it was before ADD.
fn nothing_is_left(node: &Node, conf: &Value, command: &str) {
    let plugin = conf["type"].as_str().unwrap();
    let network = conf["name"].as_str().unwrap();
    // The first pod of a network makes what belongs to the network: bridge, tables, the lease file.
    let first = container("first");
    node.add(&first, conf).unwrap();
    node.del(&first, conf).unwrap();
    let before = node.state(network);
    for nth in 0..MANY {
        let pod = container("c1");
        if command == "DEL" {
            node.add(&pod, conf).unwrap();
        }
        let mut call = node.command(plugin, command, &pod.vars());
        let killed = kill_at(&mut call, &conf.to_string(), nth);
        only_guarded_links_are_up(node);
        node.del(&pod, conf).unwrap();
        before.assert_same(
            &node.state(network),
            &format!("{command} killed at call {nth}, then DEL"),
        );
        assert!(
            crate::node::only_lease_files(&node.data_dir()),
            "call {nth}"
        );
        if !killed {
            assert!(nth > 3, "only {nth} places to kill it at");
            return;
        }
    }
    panic!("{command} makes more than {MANY} calls");
}

/// Where pods are guarded: a host end that is up has its chain, at whatever point the call ended.
fn only_guarded_links_are_up(node: &Node) {
    if std::fs::read_to_string(node.node_file()).is_ok_and(|file| file.contains("vxlan")) {
        let chains = guard::guarded(node);
        let links = node.host.netlink().unwrap().links().unwrap();
        let ours = |link: &&Link| link.name.as_str().starts_with("fl") && link.is_up();
        for link in links.iter().filter(ours) {
            assert!(chains.contains(&link.name.to_string()), "{}", link.name);
        }
    }
}

#[test]
fn add_of_a_routed_pod() {
    let node = direct::node();
    nothing_is_left(&node, &node.direct(), "ADD");
}

#[test]
fn del_of_a_routed_pod() {
    let node = direct::node();
    nothing_is_left(&node, &node.direct(), "DEL");
}

#[test]
fn add_of_a_bridged_pod_with_everything() {
    let node = Node::new();
    nothing_is_left(&node, &bridge::everything(&node), "ADD");
}

#[test]
fn del_of_a_bridged_pod_with_everything() {
    let node = Node::new();
    nothing_is_left(&node, &bridge::everything(&node), "DEL");
}

#[test]
fn add_of_guarded_pods() {
    for (node, conf) in guard::roles() {
        nothing_is_left(&node, &conf, "ADD");
    }
}

#[test]
fn del_of_guarded_pods() {
    for (node, conf) in guard::roles() {
        nothing_is_left(&node, &conf, "DEL");
    }
}
