//! What the tests of policy start from: nodes, agents, and questions about who reaches whom.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, ensure};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{
    Families, Named, Policed, Programs, Routed, Subnet, can_reach, can_reach_udp, program,
    wait_blocked, wait_reach,
};

/// The agent's program.
pub(crate) const AGENT: &str = env!("CARGO_BIN_EXE_fairlead-agent");

/// A policy that allows nothing in.
pub(crate) const DENY_IN: &str = "{podSelector: {}, policyTypes: [Ingress]}";

/// A policy that allows nothing out.
pub(crate) const DENY_OUT: &str = "{podSelector: {}, policyTypes: [Egress]}";

/// A policy that lets clients in to the pods' port of servers.
pub(crate) const CLIENTS_IN: &str = "{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress], \
     ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], \
     ports: [{protocol: TCP, port: 7}, {protocol: UDP, port: 7}]}]}";

/// A policy that lets clients out to the pods' port of servers.
pub(crate) const CLIENTS_OUT: &str = "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], \
     egress: [{to: [{podSelector: {matchLabels: {app: server}}}], \
     ports: [{protocol: TCP, port: 7}, {protocol: UDP, port: 7}]}]}";

/// Labels of servers, of clients, and of pods that are neither.
pub(crate) const SERVER: &[(&str, &str)] = &[("app", "server")];
pub(crate) const CLIENT: &[(&str, &str)] = &[("app", "client")];
pub(crate) const OTHER: &[(&str, &str)] = &[("app", "other")];

/// The plugin's program, which belongs to another crate.
pub(crate) fn plugin() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        program("fairlead-cni-plugin", "fairlead-cni").expect("the plugin cannot be built")
    })
}

pub(crate) fn programs() -> Programs {
    Programs {
        agent: AGENT.into(),
        plugin: plugin().into(),
    }
}

/// A mode of the cluster with the subnets that show it.
pub(crate) const MODES: [&str; 2] = ["direct", "vxlan"];

/// Nodes of a cluster in this mode: one subnet for `direct`, one each for `vxlan`.
pub(crate) fn net(mode: &str, nodes: u8) -> Result<Routed> {
    let subnet = |nodes| Subnet { nodes, mtu: 1500 };
    let subnets: Vec<Subnet> = match mode {
        "direct" => vec![subnet(nodes)],
        _ => (0..nodes).map(|_| subnet(1)).collect(),
    };
    Routed::new(Families::Dual, &subnets)
}

/// Nodes with ready agents in a mode; `policy` is what stands under that key.
pub(crate) fn cluster(mode: &str, nodes: u8, policy: &str) -> Result<Policed> {
    let network = format!("network: {{mode: {mode}}}");
    // A machine on which much is tested at once may let anybody wait for long.
    let patience = if policy.contains("startTimeout") {
        ""
    } else {
        "startTimeout: 20s"
    };
    let comma = if policy.is_empty() || patience.is_empty() {
        ""
    } else {
        ", "
    };
    let policy = format!("{patience}{comma}{policy}");
    Policed::ready(net(mode, nodes)?, programs(), &network, &policy)
}

/// The same in mode `direct` with the defaults of policy.
pub(crate) fn direct(nodes: u8) -> Result<Policed> {
    cluster("direct", nodes, "")
}

/// Waits until a pod reaches another one in both families, over TCP and UDP.
pub(crate) fn wait_open(from: &Named, to: &Named) -> Result<()> {
    for family in Family::ALL {
        wait_reach(&from.ns, to.service(family)?).with_context(|| told(from, to))?;
    }
    Ok(())
}

/// Waits until nothing that a pod sends to another one is answered, in both families, over TCP and UDP.
pub(crate) fn wait_closed(from: &Named, to: &Named) -> Result<()> {
    for family in Family::ALL {
        wait_blocked(&from.ns, to.service(family)?).with_context(|| told(from, to))?;
    }
    Ok(())
}

/// Fails unless a pod reaches another one now.
pub(crate) fn assert_open(from: &Named, to: &Named) -> Result<()> {
    for family in Family::ALL {
        let to_ip = to.service(family)?;
        let reached = can_reach(&from.ns, to_ip)? && can_reach_udp(&from.ns, to_ip)?;
        ensure!(reached, "{} {family}", told(from, to));
    }
    Ok(())
}

/// Fails unless nothing that a pod sends to another one is answered now.
pub(crate) fn assert_closed(from: &Named, to: &Named) -> Result<()> {
    for family in Family::ALL {
        let to_ip = to.service(family)?;
        let reached = can_reach(&from.ns, to_ip)? || can_reach_udp(&from.ns, to_ip)?;
        ensure!(!reached, "{} {family}", told(from, to));
    }
    Ok(())
}

/// A port of a node.
pub(crate) fn on_node(
    policed: &Policed,
    node: usize,
    family: Family,
    port: u16,
) -> Result<SocketAddr> {
    Ok((policed.cluster.host(node).ip(family)?, port).into())
}

fn told(from: &Named, to: &Named) -> String {
    format!("from {} to {}", from.object.name, to.object.name)
}
