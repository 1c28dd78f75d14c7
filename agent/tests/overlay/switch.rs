//! A running cluster changes its mode: direct → vxlan → direct.

use anyhow::{Context, Result};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Families, Flow, Snapshot};

use crate::agent::{Agent, LIMIT};
use crate::cluster::{Cluster, nft};
use crate::pod::wait_mesh;

/// One subnet of two nodes: `direct` knows no other.
fn two() -> Result<Cluster> {
    let subnet = fairlead_e2e_lab::Subnet {
        nodes: 2,
        mtu: 1500,
    };
    Cluster::new(Families::Dual, &[subnet])
}

const DIRECT: &str = "network: {mode: direct}";
const VXLAN: &str = "network: {mode: vxlan, vxlan: {tunnel: always}}";

/// Ends the agents, if any, and starts them with other keys, one node after the other.
fn switch(cluster: &Cluster, agents: Vec<Agent>, keys: &str) -> Result<Vec<Agent>> {
    agents.into_iter().try_for_each(Agent::terminate)?;
    let role = if keys == DIRECT {
        "fairlead-direct"
    } else {
        "fairlead-vxlan"
    };
    let mut new = Vec::new();
    for number in 0..2 {
        let agent = cluster.start_with(number, keys)?;
        agent.wait_ready()?;
        agent.wait("the list has the role", || {
            let list = std::fs::read_to_string(cluster.path(number, "conf/05-fairlead.conflist"));
            Ok(list?.contains(role))
        })?;
        new.push(agent);
    }
    Ok(new)
}

/// Whether anything of the overlay stands on a node.
fn traces(cluster: &Cluster, number: usize) -> Result<Vec<String>> {
    let ns = cluster.ns(number);
    let mut netlink = ns.netlink()?;
    let mut found = Vec::new();
    if let Some(link) = netlink.find_link(&"fl-vxlan".parse()?)? {
        found.push(link.to_string());
    }
    found.extend(netlink.next_hops()?.iter().map(ToString::to_string));
    let rules = nft(ns, "list ruleset")?;
    for word in ["notrack", "4789"] {
        if rules.contains(word) {
            found.push(format!("{word} in\n{rules}"));
        }
    }
    Ok(found)
}

#[test]
fn pods_of_each_mode_outlive_the_switch_and_are_deleted_cleanly() -> Result<()> {
    let cluster = two()?;
    let agents = switch(&cluster, Vec::new(), DIRECT)?;
    let bare: Vec<_> = (0..2)
        .map(|number| Snapshot::of(cluster.ns(number)))
        .collect::<Result<_>>()?;
    let old = [cluster.pod(0, "old0")?, cluster.pod(1, "old1")?];
    wait_mesh(&[&old[0], &old[1]])?;

    let agents = switch(&cluster, agents, VXLAN)?;
    let new = [cluster.pod(0, "new0")?, cluster.pod(1, "new1")?];
    wait_mesh(&[&old[0], &old[1], &new[0], &new[1]])?;
    assert_eq!(new[0].mtu()?, 1450);
    cluster.delete(&old[0])?;

    let agents = switch(&cluster, agents, DIRECT)?;
    for (number, agent) in agents.iter().enumerate() {
        let mut found = Vec::new();
        agent
            .wait("nothing of the overlay is left", || {
                found = traces(&cluster, number)?;
                Ok(found.is_empty())
            })
            .with_context(|| found.join("\n"))?;
    }
    let again = cluster.pod(0, "again")?;
    assert_eq!(again.mtu()?, 1500);
    wait_mesh(&[&old[1], &new[0], &new[1], &again])?;
    for pod in [&old[1], &new[0], &new[1], &again] {
        cluster.delete(pod)?;
        cluster.delete(pod)?;
    }
    for (number, agent) in agents.iter().enumerate() {
        let mut diff = String::new();
        agent
            .wait("the node is as before its pods", || {
                diff = bare[number].diff(&Snapshot::of(cluster.ns(number))?);
                Ok(diff.is_empty())
            })
            .with_context(|| diff.clone())?;
    }
    Ok(())
}

#[test]
fn what_a_switch_costs_a_flow_is_counted_and_it_goes_on() -> Result<()> {
    let cluster = two()?;
    let agents = switch(&cluster, Vec::new(), DIRECT)?;
    let pods = [cluster.pod(0, "p0")?, cluster.pod(1, "p1")?];
    wait_mesh(&[&pods[0], &pods[1]])?;
    let mut agents = agents;
    for (keys, name) in [(VXLAN, "direct to vxlan"), (DIRECT, "vxlan to direct")] {
        let to = pods[1].ip(Family::V4)?;
        let flow = Flow::start(&pods[0].ns, &pods[1].ns, to, 5001)?;
        flow.wait_arrived(1_000, LIMIT)?;
        agents = switch(&cluster, agents, keys)?;
        flow.wait_arrived(1_000, LIMIT)?;
        let passed = flow.finish()?;
        println!(
            "{name}: {} of {} packets lost, {:?} in all",
            passed.lost(),
            passed.sent,
            passed.gap()
        );
    }
    Ok(())
}
