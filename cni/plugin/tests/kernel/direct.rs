//! The direct role.

use std::net::SocketAddr;

use fairlead_cni_netlink::{Family, LinkName, RouteFilter, Sysctl};
use fairlead_e2e_lab::{serve_echo, wait_reach};
use serde_json::json;

use crate::node::{Node, address, container};

pub(crate) const RANGES: [&str; 2] = ["10.244.1.0/24", "fd00:244:1::/64"];

pub(crate) fn node() -> Node {
    let node = Node::new();
    node.publish(&RANGES, 1450);
    node
}

#[test]
fn two_pods_reach_each_other_over_both_families_and_leave_nothing() {
    let node = node();
    node.forward();
    let before = node.state("fairlead");
    let conf = node.direct();
    for pod in node.assert_pods_talk(&conf) {
        node.del(&pod, &conf).unwrap();
        node.del(&pod, &conf).unwrap();
    }
    before.assert_same(&node.state("fairlead"), "after DEL");
}

#[test]
fn the_host_end_believes_no_pod() {
    let node = node();
    let pod = container("c1");
    let result = node.add(&pod, &node.direct()).unwrap();
    let name = LinkName::new(result["interfaces"][0]["name"].as_str().unwrap()).unwrap();
    for (family, key, value) in [
        (Family::V4, "send_redirects", "0"),
        (Family::V4, "accept_redirects", "0"),
        (Family::V4, "rp_filter", "1"),
        (Family::V6, "accept_ra", "0"),
        (Family::V6, "accept_redirects", "0"),
    ] {
        let sysctl = Sysctl::interface(family, &name, key);
        let found = node.host.run(|| sysctl.read()).unwrap().unwrap();
        assert_eq!(found, value, "{family} {key}");
    }
    // One route for each address, and none that the kernel added.
    let mut host = node.host.netlink().unwrap();
    let link = Some(host.index_of(&name).unwrap());
    for family in Family::ALL {
        let all = RouteFilter {
            link,
            ..RouteFilter::all(family)
        };
        let routes = host.routes_where(all).unwrap();
        assert_eq!(routes.len(), 1, "{routes:?}");
        assert_eq!(routes[0].protocol, 76);
    }
}

#[test]
fn ipv6_works_where_new_links_have_none() {
    let node = node();
    node.forward();
    node.sysctl("net/ipv6/conf/default/disable_ipv6", "1");
    let (one, other) = (container("one"), container("other"));
    for pod in [&one, &other] {
        let off = Sysctl::new("net/ipv6/conf/default/disable_ipv6");
        pod.ns.run(|| off.write("1")).unwrap().unwrap();
    }
    let first = node.add(&one, &node.direct()).unwrap();
    let second = node.add(&other, &node.direct()).unwrap();
    node.check(&one, &node.direct(), &first).unwrap();
    let _echo = serve_echo(&other.ns, 7).unwrap();
    let to = SocketAddr::new(address(&second, false), 7);
    wait_reach(&one.ns, to).unwrap();
}

#[test]
fn the_result_says_what_was_made() {
    let node = node();
    let pod = container("c1");
    let result = node.add(&pod, &node.direct()).unwrap();
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": "fl872df16d7420", "mac": result["interfaces"][0]["mac"], "mtu": 1450},
                {"name": "eth0", "mac": result["interfaces"][1]["mac"], "mtu": 1450, "sandbox": pod.path()},
            ],
            "ips": [
                {"address": "10.244.1.1/32", "gateway": "169.254.1.1", "interface": 1},
                {"address": "fd00:244:1::1/128", "gateway": "fe80::1", "interface": 1},
            ],
            "routes": [{"dst": "0.0.0.0/0", "gw": "169.254.1.1"}, {"dst": "::/0", "gw": "fe80::1"}],
        })
    );
}
