//! A cluster of bare namespaces in subnets: a folder of Node objects, and files of each node.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fairlead_cni_netlink::Family;
pub(crate) use fairlead_e2e_lab::node_object as object;
use fairlead_e2e_lab::{Families, Host, Namespace, Routed, Subnet, wait_until};

use crate::agent::{Agent, LIMIT};
use crate::plugin;

/// Two subnets, two nodes in the first, one in the second.
pub(crate) const THREE: [Subnet; 2] = subnets([2, 1], [1500, 1500]);

/// Two subnets of one node each.
pub(crate) const PAIR: [Subnet; 2] = subnets([1, 1], [1500, 1500]);

/// Two subnets.
pub(crate) const fn subnets(nodes: [u8; 2], mtu: [u32; 2]) -> [Subnet; 2] {
    [
        Subnet {
            nodes: nodes[0],
            mtu: mtu[0],
        },
        Subnet {
            nodes: nodes[1],
            mtu: mtu[1],
        },
    ]
}

/// Nodes, none of which runs an agent by itself.
pub(crate) struct Cluster {
    pub(crate) net: Routed,
    objects: tempfile::TempDir,
    files: tempfile::TempDir,
}

impl Cluster {
    /// Nodes with an underlay of `families`, and pod ranges of both.
    pub(crate) fn new(families: Families, subnets: &[Subnet]) -> Result<Self> {
        let cluster = Self {
            net: Routed::new(families, subnets)?,
            objects: tempfile::tempdir()?,
            files: tempfile::tempdir()?,
        };
        for number in 0..cluster.net.nodes.len() {
            cluster.tell(number)?;
        }
        Ok(cluster)
    }

    /// The same with a ready agent on each node; `network` is what stands under that key beside the mode.
    pub(crate) fn ready(
        families: Families,
        subnets: &[Subnet],
        network: &str,
    ) -> Result<(Self, Vec<Agent>)> {
        let cluster = Self::new(families, subnets)?;
        let agents = cluster.start_all(network)?;
        Ok((cluster, agents))
    }

    /// Starts the agent of each node and waits for all.
    pub(crate) fn start_all(&self, network: &str) -> Result<Vec<Agent>> {
        let agents: Vec<Agent> = (0..self.net.nodes.len())
            .map(|number| self.start(number, network))
            .collect::<Result<_>>()?;
        agents.iter().try_for_each(Agent::wait_ready)?;
        Ok(agents)
    }

    pub(crate) fn host(&self, number: usize) -> &Host {
        &self.net.nodes[number]
    }

    pub(crate) fn ns(&self, number: usize) -> &Namespace {
        &self.host(number).ns
    }

    /// A path below a node's files.
    pub(crate) fn path(&self, number: usize, below: &str) -> PathBuf {
        self.files.path().join(name(number)).join(below)
    }

    /// Writes the Node object that tells the truth.
    pub(crate) fn tell(&self, number: usize) -> Result<()> {
        let object = object(
            &name(number),
            &self.host(number).addresses(),
            &ranges(number),
        );
        self.write(&name(number), &object)
    }

    /// Writes an object as `kubectl apply` would: in one step.
    pub(crate) fn write(&self, name: &str, object: &str) -> Result<()> {
        let fresh = self.objects.path().join(format!(".{name}"));
        fs::write(&fresh, object)?;
        let path = self.objects.path().join(format!("{name}.yaml"));
        Ok(fs::rename(fresh, path)?)
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let path = self.objects.path().join(format!("{name}.yaml"));
        Ok(fs::remove_file(path)?)
    }

    /// Starts a node's agent in mode `vxlan`; `network` is what stands under that key beside the mode.
    pub(crate) fn start(&self, number: usize, network: &str) -> Result<Agent> {
        let comma = if network.is_empty() { "" } else { ", " };
        self.start_with(number, &format!("network: {{mode: vxlan{comma}{network}}}"))
    }

    /// Starts a node's agent with these top-level keys of its configuration beside files and timers.
    pub(crate) fn start_with(&self, number: usize, keys: &str) -> Result<Agent> {
        self.configure(number, keys)?;
        self.run(number, Path::new(env!("CARGO_BIN_EXE_fairlead-agent")))
    }

    /// Runs `program` as a node's agent with the configuration as it is.
    pub(crate) fn run(&self, number: usize, program: &Path) -> Result<Agent> {
        Agent::start(program, self.ns(number), &self.path(number, ""))
    }

    /// Writes a node's configuration. Its timer never strikes: what happens is the work of events.
    pub(crate) fn configure(&self, number: usize, keys: &str) -> Result<()> {
        fs::create_dir_all(self.path(number, ""))?;
        let (at, node) = (self.path(number, ""), name(number));
        let (at, objects) = (at.display(), self.objects.path().display());
        let source = plugin::program().display();
        let text = format!(
            "node: {{name: {node}}}\nrunDir: {at}run\nresyncPeriod: 1h\n\
             cni: {{pluginSource: '{source}', binDir: {at}bin, confDir: {at}conf, dataDir: {at}data}}\n\
             clusterState: {{from: directory, directory: {objects}}}\n\
             gc: {{enabled: false}}\nmetrics: {{listen: '127.0.0.1:9476'}}\nlog: {{level: debug}}\n\
             {keys}\n"
        );
        fs::write(self.path(number, "agent.yaml"), text).context("write agent.yaml")
    }

    /// What a node's agent tells the plugin.
    pub(crate) fn node_file(&self, number: usize) -> Result<serde_json::Value> {
        let text = fs::read_to_string(self.path(number, "run/node.json"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until the MTU of pods on a node is `mtu`.
    pub(crate) fn wait_pod_mtu(&self, number: usize, mtu: u32) -> Result<()> {
        wait_until(
            LIMIT,
            &format!("node {number} tells pods MTU {mtu}"),
            || Ok(self.node_file(number).is_ok_and(|file| file["mtu"] == mtu)),
        )
    }
}

pub(crate) fn name(number: usize) -> String {
    format!("n{number}")
}

pub(crate) fn ranges(number: usize) -> [String; 2] {
    [
        format!("10.244.{number}.0/24"),
        format!("fd00:244:{number}::/64"),
    ]
}

/// The address of a node's VXLAN device: the network address of its first range of the family.
pub(crate) fn device_ip(number: usize, family: Family) -> IpAddr {
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    match family {
        Family::V4 => Ipv4Addr::from([10, 244, number.to_be_bytes()[1], 0]).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x244, number, 0, 0, 0, 0, 0).into(),
    }
}

/// Runs ip(8) in `ns`.
pub(crate) fn ip(ns: &Namespace, arguments: &str) -> Result<String> {
    ns.output("ip", &arguments.split(' ').collect::<Vec<_>>())
}

/// Runs nft(8) in `ns`.
pub(crate) fn nft(ns: &Namespace, script: &str) -> Result<String> {
    ns.output("nft", &[script])
}
