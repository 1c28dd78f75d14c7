use super::*;

/// A node with one list of addresses and its ranges.
fn node(name: &str, addresses: &[&str], ranges: &[&str]) -> Node {
    Node {
        name: name.to_owned(),
        internal_ips: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        pod_ranges: ranges.iter().map(|r| r.parse().unwrap()).collect(),
        annotation: None,
        network_available: false,
    }
}

fn view_of(nodes: &[Node]) -> View {
    let nodes = nodes
        .iter()
        .map(|node| (node.name.clone(), node.clone()))
        .collect();
    view(&nodes, "n1", &AddressSource::InternalIp, &[])
}

fn texts(view: &View) -> Vec<String> {
    view.conditions.iter().map(ToString::to_string).collect()
}

#[test]
fn a_sound_cluster_has_no_conditions() {
    let view = view_of(&[
        node(
            "n1",
            &["192.0.2.1", "2001:db8::1"],
            &["10.244.1.0/24", "fd00:1::/64"],
        ),
        node(
            "n2",
            &["192.0.2.2", "2001:db8::2"],
            &["10.244.2.0/24", "fd00:2::/64"],
        ),
    ]);
    assert_eq!(texts(&view), Vec::<String>::new());
    assert_eq!(view.own.unwrap().ranges.len(), 2);
    assert_eq!(view.peers.len(), 1);
    assert_eq!(view.all_ranges.len(), 4);
}

#[test]
fn two_nodes_with_one_address_are_both_named() {
    let view = view_of(&[
        node("n1", &["192.0.2.1"], &["10.244.1.0/24"]),
        node("n2", &["192.0.2.2"], &["10.244.2.0/24"]),
        node("n3", &["192.0.2.2"], &["10.244.3.0/24"]),
    ]);
    assert_eq!(
        texts(&view),
        [
            "nodes n2 and n3 have the same address 192.0.2.2: pods of one of them cannot be reached; \
          correct its address, or delete the Node that no longer exists"
        ]
    );
}

#[test]
fn a_range_without_an_address_of_its_family_is_told() {
    let view = view_of(&[
        node("n1", &["192.0.2.1"], &["10.244.1.0/24"]),
        node("n2", &["192.0.2.2"], &["10.244.2.0/24", "fd00:2::/64"]),
    ]);
    assert_eq!(
        texts(&view),
        [
            "node n2 has pod range fd00:2::/64 but no IPv6 address from its InternalIPs; \
          its pods cannot be reached over IPv6"
        ]
    );
}

#[test]
fn overlapping_ranges_name_both_nodes_and_the_first_holder_keeps_an_equal_one() {
    let view = view_of(&[
        node("n1", &["192.0.2.1"], &["10.244.1.0/24"]),
        node("n2", &["192.0.2.2"], &["10.244.1.128/25"]),
        node("n3", &["192.0.2.3"], &["10.244.3.0/24"]),
        node("n4", &["192.0.2.4"], &["10.244.3.0/24"]),
        node("n5", &["192.0.2.5"], &["10.244.0.0/16"]),
    ]);
    assert_eq!(
        texts(&view)[0],
        "pod ranges 10.244.1.0/24 of node n1 and 10.244.0.0/16 of node n5 overlap; \
         delete one of the nodes and let it join again with a range of its own"
    );
    assert_eq!(view.conditions.len(), 4);
    let held: Vec<_> = view.peers.iter().map(|peer| peer.ranges.len()).collect();
    assert_eq!(
        held,
        [0, 1, 0, 1],
        "inside of ours, first holder, second holder, around ours"
    );
}

#[test]
fn a_node_unknown_to_the_cluster_and_one_without_a_range_are_told() {
    assert_eq!(
        texts(&view_of(&[node("n2", &[], &["10.244.2.0/24"])]))
            .last()
            .map(String::as_str),
        Some("node n1 is not among the cluster's 1 nodes; check node.name (or NODE_NAME)")
    );
    for bare in ["n1", "n2"] {
        let others = ["n1", "n2", "n3"].map(|name| {
            let number = &name[1..];
            let range = format!("10.244.{number}.0/24");
            let ranges: &[&str] = if name == bare { &[] } else { &[&range] };
            node(name, &[&format!("192.0.2.{number}")], ranges)
        });
        assert_eq!(
            texts(&view_of(&others)),
            [format!(
                "node {bare} has no pod range (spec.podCIDRs is empty), so its pods get no address; \
                 run kube-controller-manager with --allocate-node-cidrs=true and --cluster-cidr"
            )]
        );
    }
}

#[test]
fn this_nodes_own_address_comes_from_its_kernel_where_only_that_knows() {
    let nodes = Nodes::from([(
        "n1".to_owned(),
        node("n1", &["192.0.2.1"], &["10.244.1.0/24"]),
    )]);
    let source = AddressSource::Interface("eth1".parse().unwrap());
    let local = [LocalAddress {
        link: "eth1".parse().unwrap(),
        ip: "198.51.100.1".parse().unwrap(),
    }];
    let view = view(&nodes, "n1", &source, &local);
    assert_eq!(view.own.unwrap().addresses.published(), "198.51.100.1");
}

#[test]
fn a_view_is_handed_out_again_until_something_in_it_is_different() {
    let of = |ranges: &[&str]| {
        let nodes = [
            node("n1", &["192.0.2.1"], &["10.244.1.0/24"]),
            node("n2", &["192.0.2.2"], ranges),
        ];
        Arc::new(
            nodes
                .map(|node| (node.name.clone(), node))
                .into_iter()
                .collect::<Nodes>(),
        )
    };
    let source = AddressSource::Interface("eth0".parse().unwrap());
    let local = |ip: &str| LocalAddress {
        link: "eth0".parse().unwrap(),
        ip: ip.parse().unwrap(),
    };
    let mut viewer = Viewer::default();
    let mut see = |nodes: &Arc<Nodes>, ip| viewer.view(nodes, "n1", &source, &[local(ip)]);

    let nodes = of(&["10.244.2.0/24"]);
    let first = see(&nodes, "192.0.2.1");
    assert_eq!(first.peers.len(), 1);
    assert!(Arc::ptr_eq(&first, &see(&nodes, "192.0.2.1")));
    // Another object with nothing new in it.
    let nodes = of(&["10.244.2.0/24"]);
    assert!(Arc::ptr_eq(&first, &see(&nodes, "192.0.2.1")));

    let moved = see(&nodes, "192.0.2.7");
    assert_eq!(
        moved.own.as_ref().unwrap().addresses.v4,
        Some("192.0.2.7".parse().unwrap())
    );
    let nodes = of(&["10.244.2.0/24", "10.244.7.0/24"]);
    assert_eq!(see(&nodes, "192.0.2.7").peers[0].ranges.len(), 2);
}
