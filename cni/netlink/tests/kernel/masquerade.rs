use std::net::IpAddr;

use fairlead_cni_netlink::nft::{
    Base, Batch, Chain, ChainKind, Element, Expr, Field, Hook, KeyType, NatFlags, Policy, Rule,
    Set, TableFamily, TableName, Test,
};
use fairlead_cni_netlink::{Address, Family, LinkIndex, Route, Sysctl};
use fairlead_e2e_lab::{Namespace, can_reach, connect, serve_echo, source_seen};

/// A pod behind a node, and a world that has no route to the pod.
struct Path {
    pod: Namespace,
    node: Namespace,
    world: Namespace,
}

fn add(ns: &Namespace, link: LinkIndex, ips: [&str; 2]) {
    for ip in ips {
        let address = Address::new(link, ip.parse().unwrap()).nodad();
        ns.netlink().unwrap().add_address(&address).unwrap();
    }
}

impl Path {
    fn new() -> Self {
        let make = |label| Namespace::new(label).unwrap();
        let (pod, node, world) = (make("pod"), make("node"), make("world"));
        let (on_pod, at_pod) = connect(&pod, "eth0", &node, "pod").unwrap();
        let (at_world, on_world) = connect(&node, "out", &world, "eth0").unwrap();
        add(&pod, on_pod, ["10.9.0.2/24", "fd09::2/64"]);
        add(&node, at_pod, ["10.9.0.1/24", "fd09::1/64"]);
        add(&node, at_world, ["192.0.2.1/24", "2001:db8::1/64"]);
        add(&world, on_world, ["192.0.2.2/24", "2001:db8::2/64"]);
        for gateway in ["10.9.0.1", "fd09::1"].map(|ip| ip.parse::<IpAddr>().unwrap()) {
            let all = Family::of(gateway).everything();
            let route = Route::via(all, gateway, Some(on_pod));
            pod.netlink().unwrap().add_route(&route).unwrap();
        }
        node.run(|| {
            Sysctl::new("net/ipv4/ip_forward").write("1").unwrap();
            Sysctl::new("net/ipv6/conf/all/forwarding")
                .write("1")
                .unwrap();
        })
        .unwrap();
        Self { pod, node, world }
    }
}

fn masquerade(t: &TableName) -> Batch {
    let mut batch = Batch::new();
    batch.add_table(t);
    let base = Base {
        hook: Hook::Postrouting,
        kind: ChainKind::Nat,
        priority: 100,
        policy: Policy::Accept,
        device: None,
    };
    batch.add_chain(&Chain::base(t, "post", base));
    let families = [
        (
            "pods4",
            KeyType::Ipv4Addr,
            "10.9.0.0/24",
            Field::IpSaddr,
            Field::IpDaddr,
        ),
        (
            "pods6",
            KeyType::Ipv6Addr,
            "fd09::/64",
            Field::Ip6Saddr,
            Field::Ip6Daddr,
        ),
    ];
    for (name, key, network, from, to) in families {
        let set = Set::new(t, name, &[key]).interval();
        batch.add_set(&set);
        batch.add_elements(&set, &[Element::network(network.parse().unwrap())]);
        let rule = Rule::new(t, "post")
            .when(from, Test::In(name.into()))
            .when(to, Test::NotIn(name.into()))
            .counter()
            .masquerade(NatFlags::RANDOM_FULLY);
        batch.append_rule(&rule);
    }
    batch
}

#[test]
fn masquerade_hides_pods_from_the_outside_in_both_families() {
    let Path { pod, node, world } = Path::new();
    let _echo = serve_echo(&world, 7).unwrap();
    assert!(!can_reach(&pod, "192.0.2.2:7".parse().unwrap()).unwrap());

    let t = TableName::new(TableFamily::Inet, "fairlead");
    node.nft().unwrap().commit(&masquerade(&t)).unwrap();
    for (to, seen) in [
        ("192.0.2.2:7", "192.0.2.1"),
        ("[2001:db8::2]:7", "2001:db8::1"),
    ] {
        let source = source_seen(&pod, to.parse().unwrap()).unwrap();
        assert_eq!(source.to_string(), seen);
    }
    for rule in node.nft().unwrap().rules(&t, Some("post")).unwrap() {
        let counted = |e: &Expr| matches!(e, Expr::Counter { packets, .. } if *packets > 0);
        assert!(rule.expressions.iter().any(counted), "{rule:?}");
    }
}
