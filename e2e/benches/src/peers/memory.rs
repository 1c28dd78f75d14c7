//! The memory of an agent whose source is a folder of Node objects.

use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{Family, RouteFilter};
use fairlead_cni_node::owned::ROUTE_PROTOCOL;
use fairlead_e2e_lab::{Agent, node_name, node_object, wait_until};

use super::{Node, OWN, address, range};
use crate::subject::Programs;

/// How long an agent may take.
const LIMIT: Duration = Duration::from_mins(1);

/// How long it is left alone then.
const REST: Duration = Duration::from_secs(4);

/// Resident memory in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Nodes that the agent knows.
    pub(crate) nodes: u16,
    /// When it had programmed all of them and rested.
    pub(crate) resident: u64,
    /// The most until then.
    pub(crate) peak: u64,
}

/// Runs an agent until it has made all its routes.
pub(super) fn measure(programs: &Programs, peers: u16) -> Result<Memory> {
    let node = Node::new()?;
    let home = tempfile::tempdir_in(programs.scratch.path())?;
    let at = home.path().display();
    let objects = home.path().join("nodes");
    fs::create_dir(&objects)?;
    for peer in 0..=peers {
        let address = if peer == 0 { OWN } else { address(peer) };
        let name = node_name(peer);
        let object = node_object(&name, &[address.into()], &[range(peer, 0)?.to_string()]);
        fs::write(objects.join(format!("{name}.yaml")), object)?;
    }
    let mut text = format!(
        "node: {{name: n0}}\nnetwork: {{mode: vxlan}}\nresyncPeriod: 1s\nrunDir: {at}/run\ngc: {{enabled: false}}\npolicy: {{enabled: false}}\n\
         clusterState: {{from: directory, directory: {at}/nodes}}\n"
    );
    writeln!(
        text,
        "cni: {{install: false, binDir: {at}/bin, confDir: {at}/conf, dataDir: {at}/data}}"
    )?;
    let config = home.path().join("agent.yaml");
    fs::write(&config, text)?;
    let agent = Agent::start(&programs.agent()?, &node.ns, &config, &[])?;
    let mut netlink = node.ns.netlink()?;
    let filter = RouteFilter {
        protocol: Some(ROUTE_PROTOCOL),
        ..RouteFilter::all(Family::V4)
    };
    wait_until(LIMIT, "all routes stand", || {
        Ok(netlink.routes_where(filter)?.len() > usize::from(peers))
    })
    .with_context(|| agent.log())?;
    // A few passes that find nothing to do, which is what an agent does all day.
    std::thread::sleep(REST);
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()))?;
    let of = |key: &str| -> Result<u64> {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .context("no such line")?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    };
    Ok(Memory {
        nodes: peers,
        resident: of("VmRSS:")?,
        peak: of("VmHWM:")?,
    })
}
