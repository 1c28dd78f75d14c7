//! A running cluster changes its mode: direct → vxlan → direct.

use anyhow::{Context, Result, ensure};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Agent, Families, Flow, LIMIT, Passed, Pod, Snapshot, wait_mesh};

use crate::cluster::{Cluster, nft};
use crate::life::RUNS;

/// One subnet of two nodes: `direct` knows no other.
fn two() -> Result<Cluster> {
    let subnet = fairlead_e2e_lab::Subnet {
        nodes: 2,
        mtu: 1500,
    };
    Cluster::new(Families::Dual, &[subnet])
}

const DIRECT: &str = "network: {mode: direct}";
const CROSS: &str = "network: {mode: vxlan, vxlan: {tunnel: crossSubnet}}";
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
            let list = std::fs::read_to_string(cluster.conflist(number));
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

/// Switches two nodes, with one agent after the other, under a flow between their pods, and counts what is lost.
fn cost(
    cluster: &Cluster,
    agents: Vec<Agent>,
    pods: &[Pod; 2],
    keys: &str,
) -> Result<(Vec<Agent>, Passed)> {
    let to = pods[1].ip(Family::V4)?;
    let flow = Flow::start(&pods[0].ns, &pods[1].ns, to, 5001)?;
    flow.wait_arrived(1_000, LIMIT)?;
    let agents = switch(cluster, agents, keys)?;
    flow.wait_arrived(1_000, LIMIT)?;
    Ok((agents, flow.finish()?))
}

/// Two nodes in mode `direct` with a pod each.
fn direct() -> Result<(Cluster, Vec<Agent>, [Pod; 2])> {
    let cluster = two()?;
    let agents = switch(&cluster, Vec::new(), DIRECT)?;
    let pods = [cluster.pod(0, "p0")?, cluster.pod(1, "p1")?];
    wait_mesh(&[&pods[0], &pods[1]])?;
    Ok((cluster, agents, pods))
}

#[test]
fn a_switch_that_puts_all_into_the_tunnel_costs_a_moment_and_the_flow_goes_on() -> Result<()> {
    let (cluster, mut agents, pods) = direct()?;
    for (keys, name) in [(VXLAN, "direct to vxlan"), (DIRECT, "vxlan to direct")] {
        let passed;
        (agents, passed) = cost(&cluster, agents, &pods, keys)?;
        let (lost, sent, gap) = (passed.lost(), passed.sent, passed.gap());
        println!("{name}: {lost} of {sent} packets lost, {gap:?} in all");
    }
    Ok(())
}

#[test]
fn a_switch_that_leaves_neighbours_their_direct_routes_loses_nothing() -> Result<()> {
    let (cluster, mut agents, pods) = direct()?;
    // Nothing happens to these.
    let (other, _others, control) = direct()?;
    for _ in 0..RUNS {
        let to = control[1].ip(Family::V4)?;
        let beside = Flow::start(&control[0].ns, &control[1].ns, to, 5001)?;
        let mut lost = 0;
        for keys in [CROSS, DIRECT] {
            let passed;
            (agents, passed) = cost(&cluster, agents, &pods, keys)?;
            lost += passed.lost();
        }
        let control = beside.finish()?;
        if lost == 0 {
            return Ok(());
        }
        ensure!(control.lost() > 0, "lost: {lost}, not {control:?}");
    }
    drop(other);
    anyhow::bail!("this machine loses packets of its own: {RUNS} controls lost some")
}
