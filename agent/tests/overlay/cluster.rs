//! A cluster of bare namespaces in subnets, in mode `vxlan`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result};
use fairlead_cni_netlink::{Family, Mac};
use fairlead_e2e_lab::{Agent, Families, LIMIT, Programs, Routed, Subnet, program, wait_until};
pub(crate) use fairlead_e2e_lab::{
    ip, nft, node_name as name, node_object as object, pod_ranges as ranges,
};

/// Two subnets, two nodes in the first, one in the second.
pub(crate) const THREE: [Subnet; 2] = subnets([2, 1], [1500, 1500]);

/// Two subnets of one node each.
pub(crate) const PAIR: [Subnet; 2] = subnets([1, 1], [1500, 1500]);

/// The agent's program.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_fairlead-agent");

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

/// The plugin's program, which belongs to another crate.
pub(crate) fn plugin() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        program("fairlead-cni-plugin", "fairlead-cni").expect("the plugin cannot be built")
    })
}

/// Nodes, none of which runs an agent by itself; `n0` is the first.
pub(crate) struct Cluster(fairlead_e2e_lab::Cluster);

impl Deref for Cluster {
    type Target = fairlead_e2e_lab::Cluster;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Cluster {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Cluster {
    /// Nodes with an underlay of `families`, and pod ranges of both.
    pub(crate) fn new(families: Families, subnets: &[Subnet]) -> Result<Self> {
        let net = Routed::new(families, subnets)?;
        let programs = Programs {
            agent: AGENT.into(),
            plugin: plugin().into(),
        };
        Ok(Self(fairlead_e2e_lab::Cluster::new(net, 0, programs)?))
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
        let agents: Vec<Agent> = self
            .numbers()
            .map(|number| self.start(number, network))
            .collect::<Result<_>>()?;
        agents.iter().try_for_each(Agent::wait_ready)?;
        Ok(agents)
    }

    /// Starts a node's agent in mode `vxlan`; `network` is what stands under that key beside the mode.
    pub(crate) fn start(&self, number: usize, network: &str) -> Result<Agent> {
        let comma = if network.is_empty() { "" } else { ", " };
        self.start_with(number, &format!("network: {{mode: vxlan{comma}{network}}}"))
    }

    /// What a node's agent tells the plugin.
    pub(crate) fn node_file(&self, number: usize) -> Result<serde_json::Value> {
        let text = std::fs::read_to_string(self.path(number, "run/fairlead/node.json"))?;
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

    /// The hardware address of a link on a node.
    pub(crate) fn device_mac(&self, node: usize, link: &str) -> Result<Mac> {
        let link = self.ns(node).netlink()?.link(&link.parse()?)?;
        link.mac.context("a link without hardware address")
    }
}

/// The family that carries the tunnel over an underlay unless the configuration says otherwise.
pub(crate) fn outer(underlay: Families) -> Family {
    if underlay.has(Family::V4) {
        Family::V4
    } else {
        Family::V6
    }
}

/// The address of a node's VXLAN device: the network address of its first range of the family.
pub(crate) fn device_ip(number: usize, family: Family) -> IpAddr {
    let number = u16::try_from(number).unwrap_or(u16::MAX);
    match family {
        Family::V4 => Ipv4Addr::from([10, 244, number.to_be_bytes()[1], 0]).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x244, number, 0, 0, 0, 0, 0).into(),
    }
}
