//! The tunnel's device, entries and routes, by an agent alone; traffic is tested in the target `overlay`.

use anyhow::Result;
use fairlead_e2e_lab::{Families, Routed, Subnet, can_reach, serve_echo};

use crate::harness::{Agent, ip, object, ranges};

const VXLAN: &str = "network: {mode: vxlan}\nlog: {level: debug}\nresyncPeriod: 1h\n";

/// Nodes in subnets, and a folder of Node objects.
struct Cluster {
    network: Routed,
    nodes: tempfile::TempDir,
}

impl Cluster {
    /// Two nodes in the first subnet and one in the second, each with its object.
    fn new(families: Families) -> Result<Self> {
        let subnets = [2, 1].map(|nodes| Subnet { nodes, mtu: 1500 });
        let cluster = Self {
            network: Routed::new(families, &subnets)?,
            nodes: tempfile::tempdir()?,
        };
        for number in 0..3 {
            cluster.tell(number, &ranges(number))?;
        }
        Ok(cluster)
    }

    /// Writes a node's object.
    fn tell(&self, number: u8, ranges: &[String]) -> Result<()> {
        let name = format!("n{number}");
        let addresses = self.network.nodes[usize::from(number)].addresses();
        let fresh = self.nodes.path().join(format!(".{name}"));
        std::fs::write(&fresh, object(&name, &addresses, ranges))?;
        Ok(std::fs::rename(
            fresh,
            self.nodes.path().join(format!("{name}.yaml")),
        )?)
    }

    fn ns(&self, number: u8) -> &fairlead_e2e_lab::Namespace {
        &self.network.nodes[usize::from(number)].ns
    }

    fn agent(&self, number: u8, extra: &str) -> Result<Agent> {
        let source = self.nodes.path().display();
        let extra = format!("clusterState: {{from: directory, directory: {source}}}\n{extra}");
        Agent::start(self.ns(number), &format!("n{number}"), &extra, &[])
    }
}

#[test]
fn nodes_in_other_subnets_are_reached_through_the_tunnel_over_both_families() -> Result<()> {
    let cluster = Cluster::new(Families::Dual)?;
    let agents = (0..3)
        .map(|number| cluster.agent(number, VXLAN))
        .collect::<Result<Vec<_>>>()?;
    for agent in &agents {
        agent.wait_ready()?;
    }
    for address in ["10.244.2.9/32", "fd00:244:2::9/128"] {
        ip(cluster.ns(2), &format!("address add {address} dev lo"))?;
    }
    let _echo = serve_echo(cluster.ns(2), 7)?;
    for address in ["10.244.2.9:7", "[fd00:244:2::9]:7"] {
        for from in [0, 1] {
            let reached = can_reach(cluster.ns(from), address.parse()?)?;
            assert!(
                reached,
                "{address} from {from}: {}\n{}",
                agents[0].log(),
                ip(cluster.ns(from), "route")?
            );
        }
    }
    Ok(())
}
