//! The life of attachments beyond the straight way: broken states, repetition, STATUS, GC, many at once.

use fairlead_cni_netlink::{Family, LinkChange, LinkName, Mac, Neighbour, Netlink};
use fairlead_e2e_lab::{Namespace, ip};
use serde_json::{Value, json};

use crate::node::{Container, Node, address, container};
use crate::{bridge, direct};

/// Nodes with a configuration each; what holds for one role holds for the other.
fn roles() -> [(Node, Value); 2] {
    let (routed, bridged) = (direct::node(), Node::new());
    let confs = (routed.direct(), bridge::everything(&bridged));
    // The first pod makes what belongs to the network.
    for (node, conf) in [(&routed, &confs.0), (&bridged, &confs.1)] {
        let first = container("first");
        node.add(&first, conf).unwrap();
        node.del(&first, conf).unwrap();
    }
    [(routed, confs.0), (bridged, confs.1)]
}

fn network(conf: &Value) -> &str {
    conf["name"].as_str().unwrap()
}

#[test]
fn del_succeeds_whatever_is_gone_already() {
    type Break = fn(&Node, &Container, &Value);
    let broken: [(&str, Break); 5] = [
        ("the container's interface", |_, pod, _| {
            pod.ns
                .netlink()
                .unwrap()
                .delete_link(LinkName::new("eth0").unwrap())
                .unwrap();
        }),
        ("the host's end", |node, _, result| {
            let links = result["interfaces"].as_array().unwrap();
            let own = |link: &&Value| link["sandbox"].is_null() && link["name"] != "cni0";
            let name = links.iter().find(own).unwrap()["name"].as_str().unwrap();
            node.host
                .netlink()
                .unwrap()
                .delete_link(LinkName::new(name).unwrap())
                .unwrap();
        }),
        ("the leases", |node, _, _| {
            std::fs::remove_dir_all(node.data_dir()).unwrap();
        }),
        ("the tables", |node, _, _| {
            drop(node.host.output("nft", &["flush", "ruleset"]));
        }),
        ("the node file", |node, _, _| {
            drop(std::fs::remove_file(node.node_file()));
        }),
    ];
    for (what, break_it) in broken {
        for (node, conf) in roles() {
            let before = node.state(network(&conf));
            let pod = container("c1");
            let result = node.add(&pod, &conf).unwrap();
            break_it(&node, &pod, &result);
            node.del(&pod, &conf)
                .unwrap_or_else(|error| panic!("{what}: {error:?}"));
            node.del(&pod, &conf).unwrap();
            if what != "the tables" {
                before.assert_same(&node.state(network(&conf)), what);
            }
        }
    }
}

#[test]
fn del_succeeds_when_the_namespace_is_gone_or_not_named() {
    for (node, conf) in roles() {
        let before = node.state(network(&conf));
        for path in ["/run/netns/none-of-this-name", "", "/proc/version"] {
            let pod = container("c1");
            node.add(&pod, &conf).unwrap();
            let vars = [
                ("CNI_CONTAINERID", "c1"),
                ("CNI_IFNAME", "eth0"),
                ("CNI_NETNS", path),
            ];
            let plugin = conf["type"].as_str().unwrap();
            node.call(plugin, "DEL", &vars, &conf).unwrap();
            before.assert_same(&node.state(network(&conf)), &format!("{plugin} {path:?}"));
        }
    }
}

#[test]
fn del_of_what_was_never_added_succeeds() {
    let node = Node::new();
    for conf in [node.direct(), bridge::everything(&node)] {
        let before = node.state(network(&conf));
        node.del(&container("c1"), &conf).unwrap();
        before.assert_same(&node.state(network(&conf)), "never added");
        assert!(!node.data_dir().exists());
    }
}

#[test]
fn an_interface_of_the_name_is_an_error_and_stays() {
    for (node, conf) in roles() {
        let pod = container("c1");
        ip(&pod.ns, "link add eth0 type veth peer name x").unwrap();
        let before = node.state(network(&conf));
        let error = node.add(&pod, &conf).unwrap_err();
        assert_eq!(error.code, 100);
        assert_eq!(
            error.msg,
            format!(
                "CNI_IFNAME: interface eth0 exists already in {}",
                pod.path()
            )
        );
        before.assert_same(&node.state(network(&conf)), "after the refusal");
        assert!(
            pod.ns
                .netlink()
                .unwrap()
                .index_of(&LinkName::new("eth0").unwrap())
                .is_ok()
        );
    }
}

#[test]
fn a_failed_add_gives_its_addresses_back() {
    for (node, conf) in roles() {
        let pod = container("c1");
        // Takes the name of the host's end, which ADD notices only after it took addresses.
        let result = node.add(&pod, &conf).unwrap();
        let links = result["interfaces"].as_array().unwrap();
        let name = links
            .iter()
            .find(|l| l["sandbox"].is_null() && l["name"] != "cni0")
            .unwrap()["name"]
            .clone();
        let name = name.as_str().unwrap();
        node.del(&pod, &conf).unwrap();
        ip(
            &node.host,
            &format!("link add {name} type veth peer name x"),
        )
        .unwrap();
        let before = node.state(network(&conf));
        let error = node.add(&pod, &conf).unwrap_err();
        assert_eq!(error.code, 100);
        assert_eq!(
            error.msg,
            format!(
                "interface {name} of this attachment exists already on the host, DEL removes it"
            )
        );
        before.assert_same(&node.state(network(&conf)), "after the failure");
    }
}

#[test]
fn a_second_add_without_del_is_an_error_and_changes_nothing() {
    for (node, conf) in roles() {
        let pod = container("c1");
        let result = node.add(&pod, &conf).unwrap();
        let before = node.state(network(&conf));
        assert_eq!(node.add(&pod, &conf).unwrap_err().code, 100);
        before.assert_same(&node.state(network(&conf)), "after the second ADD");
        // The same container in another namespace: its addresses are held already.
        let twin = Container {
            ns: Namespace::new("twin").unwrap(),
            id: "c1".to_owned(),
        };
        let error = node.add(&twin, &conf).unwrap_err();
        assert_eq!(error.code, 102);
        assert_eq!(
            error.msg,
            format!(
                "{} has been allocated to container c1 interface eth0; a second ADD needs a DEL first",
                address(&result, true)
            )
        );
        before.assert_same(&node.state(network(&conf)), "after the twin");
        node.check(&pod, &conf, &result).unwrap();
    }
}

#[test]
fn thirty_two_at_once_on_a_fresh_node() {
    let (routed, bridged) = (direct::node(), Node::new());
    for (node, conf) in [
        (&routed, routed.direct()),
        (&bridged, bridge::everything(&bridged)),
    ] {
        let pods: Vec<Container> = (0..32).map(|n| container(&format!("c{n}"))).collect();
        let results: Vec<Value> = std::thread::scope(|scope| {
            let (node, conf) = (&node, &conf);
            let add = |pod| scope.spawn(move || node.add(pod, conf));
            let running: Vec<_> = pods.iter().map(add).collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap().unwrap())
                .collect()
        });
        let mut addresses: Vec<_> = results.iter().map(|result| address(result, true)).collect();
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 32);
        for (pod, result) in pods.iter().zip(&results) {
            node.check(pod, &conf, result).unwrap();
        }
        std::thread::scope(|scope| {
            for pod in &pods {
                scope.spawn(|| node.del(pod, &conf).unwrap());
            }
        });
        assert_eq!(node.leases(network(&conf)), Vec::<String>::new());
        let links = node.host.netlink().unwrap().links().unwrap();
        assert!(
            !links
                .iter()
                .any(|link| link.name.as_str().starts_with("fl")),
            "{links:#?}"
        );
    }
}

#[test]
fn gc_removes_what_is_not_valid_and_nothing_else() {
    for (node, conf) in roles() {
        let before = node.state(network(&conf));
        let (keep, lost) = (container("keep"), container("lost"));
        let kept = node.add(&keep, &conf).unwrap();
        let only_kept = node.state(network(&conf));
        node.add(&lost, &conf).unwrap();
        let mut other = conf.clone();
        other["name"] = "another".into();
        if other["type"] == "bridge" {
            other["bridge"] = "br1".into();
            other["ipam"]["ranges"] = json!([[{"subnet": "10.9.0.0/16"}]]);
            let stranger = container("stranger");
            let result = node.add(&stranger, &other).unwrap();
            node.gc(&conf, &["keep"]).unwrap();
            node.check(&stranger, &other, &result).unwrap();
            node.gc(&other, &[]).unwrap();
            assert_eq!(node.leases("another"), Vec::<String>::new());
            node.host
                .netlink()
                .unwrap()
                .delete_link(LinkName::new("br1").unwrap())
                .unwrap();
            node.del(&stranger, &other).unwrap();
        }
        node.gc(&conf, &["keep"]).unwrap();
        if conf["type"] != "bridge" {
            only_kept.assert_same(&node.state(network(&conf)), "after GC");
        }
        assert_eq!(node.leases(network(&conf)).len(), 2);
        node.check(&keep, &conf, &kept).unwrap();
        node.gc(&conf, &[]).unwrap();
        node.gc(&conf, &[]).unwrap();
        if conf["type"] != "bridge" {
            before.assert_same(&node.state(network(&conf)), "after GC of all");
        }
    }
}

#[test]
fn gc_that_is_not_told_what_is_valid_removes_what_has_nobody_left() {
    for (node, conf) in roles() {
        let (alive, dead) = (container("alive"), container("dead"));
        let kept = node.add(&alive, &conf).unwrap();
        node.add(&dead, &conf).unwrap();
        // Its links go with the namespace.
        drop(dead);
        let plugin = conf["type"].as_str().unwrap();
        node.call(plugin, "GC", &[], &conf).unwrap();
        assert_eq!(node.leases(network(&conf)).len(), 2);
        node.check(&alive, &conf, &kept).unwrap();
    }
}

#[test]
fn a_full_range_is_named_by_add_and_by_status() {
    let node = Node::new();
    node.publish(&["10.244.9.0/30"], 1500);
    let conf = node.direct();
    let pods = [container("a"), container("b"), container("c")];
    node.add(&pods[0], &conf).unwrap();
    node.status(&conf).unwrap();
    node.add(&pods[1], &conf).unwrap();
    let text = "no address is free in 10.244.9.1-10.244.9.2: 2 held by pods; delete pods on this node or give it a larger range";
    let error = node.add(&pods[2], &conf).unwrap_err();
    assert_eq!((error.code, error.msg.as_str()), (11, text));
    let error = node.status(&conf).unwrap_err();
    assert_eq!((error.code, error.msg.as_str()), (50, text));
    node.del(&pods[0], &conf).unwrap();
    node.status(&conf).unwrap();
}

#[test]
fn check_names_what_is_missing_or_changed() {
    for (node, conf) in roles() {
        let pod = container("c1");
        let result = node.add(&pod, &conf).unwrap();
        node.check(&pod, &conf, &result).unwrap();
        let mut inside = pod.ns.netlink().unwrap();
        let eth0 = LinkName::new("eth0").unwrap();
        let fails = |result: &Value, text: &str| {
            let error = node.check(&pod, &conf, result).unwrap_err();
            assert_eq!(
                (error.code, error.msg),
                (101, text.replace("HERE", pod.path()))
            );
        };
        inside.set_link(&LinkChange::of(&eth0).down()).unwrap();
        fails(&result, "interface eth0 in HERE is down, it must be up");
        node.del(&pod, &conf).unwrap();
        let result = node.add(&pod, &conf).unwrap();
        let mut inside = pod.ns.netlink().unwrap();
        let default = inside
            .routes(Family::V4)
            .unwrap()
            .into_iter()
            .find(|route| route.destination.prefix() == 0);
        inside.delete_route(&default.unwrap()).unwrap();
        let gateway = result["routes"][0]["gw"].as_str().unwrap();
        fails(
            &result,
            &format!("route 0.0.0.0/0 via {gateway} is missing in HERE"),
        );
        node.del(&pod, &conf).unwrap();
        let text = format!(
            "the lease of container c1 interface eth0 is missing in network {}",
            network(&conf)
        );
        fails(&result, &text);
    }
}

#[test]
fn check_of_a_routed_pod_looks_at_the_hosts_side_too() {
    let node = direct::node();
    let conf = node.direct();
    let pod = container("c1");
    let result = node.add(&pod, &conf).unwrap();
    let name = result["interfaces"][0]["name"].as_str().unwrap();
    let mut host = node.host.netlink().unwrap();
    let index = host.index_of(&LinkName::new(name).unwrap()).unwrap();
    let own = |netlink: &mut Netlink| {
        let routes = netlink.routes(Family::V4).unwrap();
        routes
            .into_iter()
            .find(|route| route.protocol == 76)
            .unwrap()
    };
    let route = own(&mut host);
    host.delete_route(&route).unwrap();
    let fails = |text: &str| {
        let error = node.check(&pod, &conf, &result).unwrap_err();
        assert_eq!((error.code, error.msg.as_str()), (101, text));
    };
    fails(&format!(
        "the route to 10.244.1.1/32 over {name} is missing on the host"
    ));
    host.add_route(&route).unwrap();
    node.check(&pod, &conf, &result).unwrap();
    host.delete_neighbour(&Neighbour::permanent(
        index,
        address(&result, true),
        Mac::default(),
    ))
    .unwrap();
    fails("the neighbour entry of 10.244.1.1 is missing on the host");
}
