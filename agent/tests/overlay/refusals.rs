//! What cannot be: told with both sides named, while the rest works.

use anyhow::{Context, Result};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Agent, Families, Snapshot, wait_mesh};

use crate::cluster::{AGENT, Cluster, PAIR, THREE, ip, name, object, ranges};
use crate::paths::pods;

/// What `check-config` and `run` say to a value under `network.vxlan`.
fn refused(vxlan: &str) -> Result<String> {
    let cluster = Cluster::new(Families::V4, &PAIR[..1])?;
    let keys = format!("network: {{mode: vxlan, vxlan: {{{vxlan}}}}}");
    cluster.configure(0, &keys)?;
    let path = cluster.config(0);
    let path = path.to_str().context("a path in UTF-8")?;
    let error = cluster
        .ns(0)
        .output(AGENT, &["check-config", path])
        .err()
        .with_context(|| format!("{vxlan} is taken"))?;
    Ok(error.to_string())
}

#[test]
fn values_out_of_range_are_refused_with_the_range() -> Result<()> {
    for (vxlan, value, range) in [
        ("vni: 0", "0", "1 to 16777215"),
        ("vni: 16777216", "16777216", "1 to 16777215"),
        ("port: 0", "0", "1 to 65535"),
        ("port: 65536", "65536", "1 to 65535"),
        ("ttl: 256", "256", "1 to 255"),
        ("dscp: 64", "64", "0 to 63"),
        ("device: a-name-of-16-byt", "a-name-of-16-byt", "15"),
    ] {
        let text = refused(vxlan)?;
        assert!(
            text.contains(value) && text.contains(range),
            "{vxlan}: {text}"
        );
    }
    Ok(())
}

#[test]
fn overlapping_ranges_of_two_nodes_are_told_and_the_rest_works() -> Result<()> {
    let cluster = Cluster::new(Families::Dual, &THREE)?;
    let twin = object("twin", &["198.18.1.99".parse()?], &ranges(1)[..1]);
    cluster.objects.write("twin", &twin)?;
    let agents = cluster.start_all_anyhow()?;
    agents[0].wait_condition(
        "OverlappingRanges: pod ranges 10.244.1.0/24 of node n1 and 10.244.1.0/24 of node twin overlap",
    )?;
    let (one, other) = (cluster.pod(0, "one")?, cluster.pod(2, "other")?);
    wait_mesh(&[&one, &other])
}

#[test]
fn a_node_without_address_or_range_is_told_and_the_rest_works() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &THREE)?;
    cluster
        .objects
        .write("blank", &object("blank", &[], &ranges(8)))?;
    cluster
        .objects
        .write("bare", &object("bare", &["198.18.1.98".parse()?], &[]))?;
    let agents = cluster.start_all_anyhow()?;
    agents[0].wait_condition("node blank has no IPv4 address")?;
    agents[0].wait_condition("node bare has no pod range (spec.podCIDRs is empty)")?;
    let pods = pods(&cluster)?;
    wait_mesh(&pods)
}

#[test]
fn two_nodes_with_one_address_are_told_and_the_rest_works() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &THREE)?;
    let twin = cluster.host(1).ip(Family::V4)?;
    cluster
        .objects
        .write("twin", &object("twin", &[twin], &ranges(9)))?;
    let agents = cluster.start_all_anyhow()?;
    agents[0].wait_condition("nodes n1 and twin have the same address 198.18.0.2")?;
    let (one, other) = (cluster.pod(0, "one")?, cluster.pod(2, "other")?);
    wait_mesh(&[&one, &other])
}

#[test]
fn a_device_of_somebody_else_is_told_and_not_touched() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &PAIR)?;
    for kind in ["bridge", "vxlan id 5 dstport 9999"] {
        ip(cluster.ns(0), &format!("link add fl-vxlan type {kind}"))?;
        let before = Snapshot::of(cluster.ns(0))?;
        let agent = cluster.start(0, "")?;
        agent.wait_condition("fl-vxlan")?;
        let (_, page) = agent.readiness()?;
        let line = page.lines().find(|line| line.contains("fl-vxlan"));
        let line = line.context("no condition")?.to_owned();
        assert!(line.contains("network.vxlan.device"), "{line}");
        let diff = before.diff(&Snapshot::of(cluster.ns(0))?);
        assert!(!diff.contains("link fl-vxlan"), "{diff}");
        // Away with it: the agent makes its own.
        ip(cluster.ns(0), "link del fl-vxlan")?;
        agent.wait_no_condition("network.vxlan.device")?;
        agent.wait_ready()?;
        drop(agent);
        ip(cluster.ns(0), "link del fl-vxlan")?;
    }
    Ok(())
}

#[test]
fn a_device_of_somebody_else_with_our_network_and_port_is_told_and_not_touched() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &PAIR)?;
    ip(
        cluster.ns(0),
        "link add flannel.76 type vxlan id 76 dstport 4789",
    )?;
    let agent = cluster.start(0, "")?;
    agent.wait_condition(
        "VniTaken: link flannel.76 has VNI 76 and port 4789, as Fairlead's overlay device fl-vxlan",
    )?;
    ip(cluster.ns(0), "link show flannel.76")?;
    ip(cluster.ns(0), "link del flannel.76")?;
    agent.wait_no_condition("VniTaken")?;
    agent.wait_ready()
}

#[test]
fn two_nodes_whose_names_give_one_hardware_address_are_told_and_the_rest_works() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &THREE)?;
    for (name, at) in [("worker-836440", 90), ("worker-1407122", 91)] {
        let address = format!("198.18.1.{at}").parse()?;
        cluster
            .objects
            .write(name, &object(name, &[address], &ranges(at)))?;
    }
    let agents = cluster.start_all_anyhow()?;
    agents[0].wait_condition(
        "MacClash: nodes worker-1407122 and worker-836440 have the same hardware address \
         72:6c:05:48:2e:f0 on the overlay, which follows from their names; pods of worker-836440 \
         cannot be reached: give it another name",
    )?;
    let routes = ip(cluster.ns(0), "route show proto 76")?;
    assert!(
        routes.contains("10.244.91.0/24") && !routes.contains("10.244.90.0/24"),
        "{routes}"
    );
    let (one, other) = (cluster.pod(0, "one")?, cluster.pod(2, "other")?);
    wait_mesh(&[&one, &other])
}

#[test]
fn a_foreign_route_in_the_way_is_told_and_left() -> Result<()> {
    let cluster = Cluster::new(Families::V4, &THREE)?;
    ip(cluster.ns(0), "route add 10.244.2.0/24 via 198.18.0.254")?;
    let agents = cluster.start_all_anyhow()?;
    agents[0].wait_condition(
        "RouteTaken: a route to pod range 10.244.2.0/24 that is not Fairlead's stands in the way",
    )?;
    assert!(ip(cluster.ns(0), "route show 10.244.2.0/24")?.contains("via 198.18.0.254"));
    let (one, other) = (cluster.pod(0, "one")?, cluster.pod(1, "other")?);
    wait_mesh(&[&one, &other])?;
    ip(cluster.ns(0), "route del 10.244.2.0/24")?;
    agents[0].wait_no_condition("RouteTaken")?;
    wait_mesh(&[&one, &cluster.pod(2, "third")?])
}

#[test]
fn a_peer_without_an_address_of_the_underlays_family_is_told() -> Result<()> {
    let cluster = Cluster::new(Families::Dual, &THREE)?;
    let v6 = cluster.host(2).ip(Family::V6)?;
    cluster
        .objects
        .write(&name(2), &object(&name(2), &[v6], &ranges(2)))?;
    let agents = cluster.start_all_anyhow()?;
    agents[0].wait_condition("n2")?;
    let (one, other) = (cluster.pod(0, "one")?, cluster.pod(1, "other")?);
    wait_mesh(&[&one, &other])
}

impl Cluster {
    /// Starts the agent of each node and waits for what pods need, whatever conditions hold.
    fn start_all_anyhow(&self) -> Result<Vec<Agent>> {
        let agents: Vec<_> = (0..self.net.nodes.len())
            .map(|number| self.start(number, ""))
            .collect::<Result<_>>()?;
        for (number, agent) in agents.iter().enumerate() {
            agent.wait("the list is written", || Ok(self.conflist(number).exists()))?;
        }
        Ok(agents)
    }
}
