//! Nodes that contradict each other or cannot be reached directly.

use anyhow::Result;

use crate::harness::{Cluster, ip, name, object, ranges, routed};

#[test]
fn two_nodes_with_one_address_are_a_condition_that_names_both() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let peer = cluster.node(1);
    cluster
        .nodes
        .write("twin", &object("twin", &[peer.v4.into()], &ranges(7)[..1]))?;
    let agent = cluster.agent(0, "")?;
    agent.wait_condition(
        "DuplicateAddress: nodes n1 and twin have the same address 192.0.2.2: pods of one of them \
         cannot be reached; correct its address, or delete the Node that no longer exists",
    )?;
    assert_eq!(
        agent.metric("fairlead_conditions{condition=\"DuplicateAddress\"}")?,
        1
    );
    cluster.nodes.remove("twin")?;
    agent.wait_no_condition("DuplicateAddress")?;
    assert_eq!(
        agent.metric("fairlead_conditions{condition=\"DuplicateAddress\"}")?,
        0
    );
    Ok(())
}

#[test]
fn a_peer_behind_a_gateway_is_an_error_condition_and_gets_no_route() -> Result<()> {
    let cluster = Cluster::new(2)?;
    ip(cluster.ns(0), "route add default via 192.0.2.254")?;
    cluster.nodes.write(
        "far",
        &object("far", &["198.51.100.9".parse()?], &ranges(9)[..1]),
    )?;
    let agent = cluster.agent(0, "")?;
    agent.wait_condition(
        "OffSubnet: node far at 198.51.100.9 is reached through gateway 192.0.2.254, but \
         network.mode direct needs all nodes in one subnet; its pods cannot be reached: set network.mode to vxlan",
    )?;
    agent.wait_ready()?;
    assert_eq!(routed(cluster.ns(0))?, 2, "only the near peer");
    // An on-link route is a direct way, whatever the prefix of the interface says.
    ip(cluster.ns(0), "route add 198.51.100.9/32 dev eth0")?;
    agent.wait_no_condition("OffSubnet")?;
    assert_eq!(routed(cluster.ns(0))?, 3);
    Ok(())
}

#[test]
fn a_peer_without_any_way_is_told_with_the_kernels_words() -> Result<()> {
    let cluster = Cluster::new(1)?;
    cluster.nodes.write(
        "far",
        &object("far", &["198.51.100.9".parse()?], &ranges(9)[..1]),
    )?;
    let agent = cluster.agent(0, "")?;
    agent.wait_condition("Unreachable: node far at 198.51.100.9 cannot be reached: ")?;
    let (_, page) = agent.get(9475, "/readyz")?;
    assert!(page.contains("Network is unreachable"), "{page}");
    Ok(())
}

#[test]
fn a_node_without_a_range_or_unknown_to_the_cluster_is_not_ready() -> Result<()> {
    let cluster = Cluster::new(1)?;
    cluster.nodes.write(
        &name(0),
        &object(&name(0), &[cluster.node(0).v4.into()], &[]),
    )?;
    let agent = cluster.agent(0, "")?;
    agent.wait_condition("NoPodRange: node n0 has no pod range")?;
    agent.wait_condition("[+] routes programmed")?;
    let (code, page) = agent.get(9475, "/readyz")?;
    assert_eq!(code, 503, "{page}");
    assert!(
        page.starts_with("not ready\n[+] cluster state known\n"),
        "{page}"
    );
    assert!(page.contains("[-] node file published\n"), "{page}");
    cluster.nodes.remove(&name(0))?;
    agent.wait_condition("UnknownNode: node n0 is not among the cluster's 0 nodes")?;
    cluster.nodes.write(&name(0), &cluster.object(0))?;
    agent.wait_ready()
}

#[test]
fn addresses_may_come_from_an_interface() -> Result<()> {
    let cluster = Cluster::new(2)?;
    let wrong = |number| {
        object(
            &name(number),
            &["203.0.113.9".parse().unwrap()],
            &ranges(number),
        )
    };
    cluster.nodes.write(&name(0), &wrong(0))?;
    let peer = wrong(1).replace(
        "name: n1",
        "name: n1, annotations: {fairlead.io/node-address: '192.0.2.2,2001:db8::2'}",
    );
    cluster.nodes.write(&name(1), &peer)?;
    let source = cluster.nodes.path().display();
    let state = format!("clusterState: {{from: directory, directory: {source}}}");
    let extra =
        format!("{state}\n").replace("clusterState", "setNetworkUnavailable: false\nclusterState");
    let agent = crate::harness::Agent::start_with_node(
        cluster.ns(0),
        "{name: n0, address: {from: interface, interface: eth0}}",
        &extra,
        &[],
    )?;
    agent.wait_ready()?;
    assert_eq!(routed(cluster.ns(0))?, 2);
    Ok(())
}
