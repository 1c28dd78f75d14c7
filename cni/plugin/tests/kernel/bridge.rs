//! The bridge role.

use std::net::SocketAddr;

use fairlead_cni_netlink::nft::{Batch, Nft, TableFamily, TableName};
use fairlead_e2e_lab::{serve_echo, source_seen};
use serde_json::{Value, json};

use crate::node::{Node, address, container};

/// A dual stack network whose gateway is the bridge.
pub(crate) fn conf(node: &Node) -> Value {
    json!({
        "cniVersion": "1.1.0", "name": "dbnet", "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipam": {
            "type": "host-local", "dataDir": node.data_dir(),
            "ranges": [[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00:1::/64"}]],
        },
    })
}

/// The same with all that leaves traces outside of the pair of links.
pub(crate) fn everything(node: &Node) -> Value {
    with(with(conf(node), "ipMasq", true), "macspoofchk", true)
}

pub(crate) fn with(mut conf: Value, key: &str, value: impl Into<Value>) -> Value {
    conf[key] = value.into();
    conf
}

#[test]
fn pods_reach_each_other_and_the_host_over_both_families() {
    let node = Node::new();
    let conf = conf(&node);
    node.assert_pods_talk(&conf);
}

#[test]
fn the_result_says_what_was_made_and_del_leaves_only_the_bridge() {
    let node = Node::new();
    let conf = conf(&node);
    let pod = container("c1");
    let result = node.add(&pod, &conf).unwrap();
    let mac = |at: usize| result["interfaces"][at]["mac"].clone();
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": "cni0", "mac": mac(0)},
                {"name": result["interfaces"][1]["name"], "mac": mac(1)},
                {"name": "eth0", "mac": mac(2), "sandbox": pod.path()},
            ],
            "ips": [
                {"address": "10.1.0.2/16", "gateway": "10.1.0.1", "interface": 2},
                {"address": "fd00:1::2/64", "gateway": "fd00:1::1", "interface": 2},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.1.0.1"}, {"dst": "::/0", "gw": "fd00:1::1"}],
        })
    );
    node.del(&pod, &conf).unwrap();
    let before = node.state("dbnet");
    let other = container("c2");
    let again = node.add(&other, &conf).unwrap();
    assert_eq!(
        again["interfaces"][0]["mac"],
        mac(0),
        "the bridge keeps its address"
    );
    node.del(&other, &conf).unwrap();
    before.assert_same(&node.state("dbnet"), "after DEL");
}

#[test]
fn vlan_keys_are_refused_where_the_kernel_has_no_filtering() {
    let node = Node::new();
    let pod = container("c1");
    let before = node.state("dbnet");
    let error = node.add(&pod, &with(conf(&node), "vlan", 100)).unwrap_err();
    assert_eq!(error.code, 2);
    assert_eq!(
        error.msg,
        "vlan: 100 is not supported, this kernel has no bridge VLAN filtering (CONFIG_BRIDGE_VLAN_FILTERING)"
    );
    before.assert_same(&node.state("dbnet"), "after the refusal");
}

#[test]
fn masqueraded_pods_leave_with_the_hosts_address_and_stay_themselves_inside() {
    let node = Node::new();
    let conf = with(conf(&node), "ipMasq", true);
    let (world, v4, v6) = node.world();
    let (one, other) = (container("one"), container("other"));
    let first = node.add(&one, &conf).unwrap();
    let second = node.add(&other, &conf).unwrap();
    node.check(&one, &conf, &first).unwrap();
    let _outside = serve_echo(&world, 7).unwrap();
    let _inside = serve_echo(&other.ns, 7).unwrap();
    for (outside, is_v4) in [(v4, true), (v6, false)] {
        let seen = source_seen(&one.ns, SocketAddr::new(outside.server, 7)).unwrap();
        assert_eq!(seen, outside.host);
        let seen = source_seen(&one.ns, SocketAddr::new(address(&second, is_v4), 7)).unwrap();
        assert_eq!(seen, address(&first, is_v4));
    }
}

#[test]
fn del_removes_the_masquerade_of_its_own_pod_only() {
    let node = Node::new();
    let conf = with(conf(&node), "ipMasq", true);
    let (one, other) = (container("one"), container("other"));
    let first = node.add(&one, &conf).unwrap();
    let second = node.add(&other, &conf).unwrap();
    node.del(&one, &conf).unwrap();
    node.check(&other, &conf, &second).unwrap();
    assert_eq!(
        node.masqueraded(),
        ["10.1.0.3 dbnet/other/eth0", "fd00:1::3 dbnet/other/eth0"]
    );
    // The address goes to another pod; a late second DEL must not touch what is its now.
    let reused = with(
        conf.clone(),
        "runtimeConfig",
        json!({"ips": ["10.1.0.2", "fd00:1::2"]}),
    );
    let heir = container("heir");
    assert_eq!(
        address(&node.add(&heir, &reused).unwrap(), true),
        address(&first, true)
    );
    node.del(&one, &conf).unwrap();
    assert_eq!(node.masqueraded().len(), 4);
    node.gc(&conf, &["other"]).unwrap();
    assert_eq!(
        node.masqueraded(),
        ["10.1.0.3 dbnet/other/eth0", "fd00:1::3 dbnet/other/eth0"]
    );
}

#[test]
fn check_misses_a_masquerade_that_somebody_removed() {
    let node = Node::new();
    let conf = with(conf(&node), "ipMasq", true);
    let pod = container("c1");
    let result = node.add(&pod, &conf).unwrap();
    let mut batch = Batch::new();
    batch.flush_set(&TableName::new(TableFamily::Inet, "fairlead-cni"), "pods4");
    Nft::open_in(node.host.netns())
        .unwrap()
        .commit(&batch)
        .unwrap();
    let error = node.check(&pod, &conf, &result).unwrap_err();
    assert_eq!(error.code, 101);
    assert_eq!(
        error.msg,
        "the masquerade of 10.1.0.2 is missing in nftables table inet fairlead-cni"
    );
}
