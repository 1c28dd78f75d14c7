//! Two nodes with a pod each, connected in one of the ways.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{LinkName, Route, Sysctl};
use fairlead_e2e_lab::{Namespace, Underlay, can_reach, serve_echo, wait_until};
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use super::ours::Agent;
use super::{Kind, flannel};
use crate::call::{Plugin, Verb, call};
use crate::subject::Programs;

/// How long a way may take to work.
const LIMIT: Duration = Duration::from_mins(1);

/// Pods that can talk; all is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Way {
    /// One pod on each node.
    pub(crate) pods: [Namespace; 2],
    /// The address of the second pod.
    pub(crate) to: IpAddr,
    _agents: Vec<Agent>,
    _underlay: Underlay,
}

impl Way {
    pub(crate) fn new(kind: Kind, programs: &Programs) -> Result<Self> {
        let underlay = Underlay::new(2)?;
        for node in &underlay.nodes {
            // As systemd sets it (`50-default.conf`); our agent has it on its device anyway.
            let filter = Sysctl::new("net/ipv4/conf/default/rp_filter");
            node.ns.run(|| filter.write("2"))??;
        }
        let home = tempfile::tempdir_in(programs.scratch.path())?.keep();
        let mut agents = Vec::new();
        let confs = match kind {
            Kind::Ours | Kind::OursDevice | Kind::OursNoOffload => {
                agents = Agent::start_all(&underlay, programs, &home, kind != Kind::OursNoOffload)?;
                agents.iter().map(Agent::conf).collect::<Result<Vec<_>>>()?
            }
            _ => by_hand(kind, &underlay, &home)?,
        };
        let mut ips = Vec::new();
        let mut pods = Vec::new();
        for (number, conf) in confs.into_iter().enumerate() {
            let pod = Namespace::new("pod")?;
            ips.push(attach(&underlay.nodes[number].ns, programs, &conf, &pod)?);
            pods.push(pod);
        }
        let pods: [Namespace; 2] = pods.try_into().ok().context("two nodes")?;
        let to = ips[1];
        let echo = serve_echo(&pods[1], 7)?;
        wait_until(LIMIT, &format!("{}: {to} is reached", kind.name()), || {
            can_reach(&pods[0], (to, 7).into())
        })?;
        drop(echo);
        if kind == Kind::OursDevice {
            // Nobody is left to put the rules back.
            agents.clear();
            for node in &underlay.nodes {
                node.ns.output("nft", &["flush ruleset"])?;
            }
        }
        Ok(Self {
            pods,
            to,
            _agents: agents,
            _underlay: underlay,
        })
    }
}

/// The range of a node's pods.
pub(super) fn range(number: usize) -> String {
    format!("10.244.{number}.0/24")
}

/// Connects the nodes; gives the configuration of our routed plugin for each, the same for all of these ways.
fn by_hand(kind: Kind, underlay: &Underlay, home: &Path) -> Result<Vec<Value>> {
    let mtu = if kind == Kind::Routed { 1500 } else { 1450 };
    for node in &underlay.nodes {
        node.ns
            .run(|| Sysctl::new("net/ipv4/ip_forward").write("1"))??;
    }
    if kind == Kind::Routed {
        for (node, peer) in [(0, 1), (1, 0)] {
            let range: IpNetwork = range(peer).parse()?;
            let gateway = underlay.nodes[peer].v4.into();
            let route = Route::via(range, gateway, Some(underlay.nodes[node].link));
            underlay.nodes[node].ns.netlink()?.add_route(&route)?;
        }
    } else {
        flannel::connect(underlay)?;
    }
    for node in &underlay.nodes {
        match kind {
            Kind::Flannel => flannel::add_rules(&node.ns)?,
            Kind::FlannelNoOffload => {
                flannel::add_rules(&node.ns)?;
                let name = LinkName::new(flannel::DEVICE)?;
                node.ns.netlink()?.set_tx_checksum(&name, false)?;
            }
            _ => {}
        }
    }
    (0..2)
        .map(|number| {
            let file = home.join(format!("node{number}.json"));
            let node = json!({
                "version": 1, "node": format!("n{number}"), "mode": "direct",
                "podRanges": [range(number)], "mtu": mtu,
            });
            std::fs::write(&file, node.to_string())?;
            Ok(json!({
                "cniVersion": "1.0.0", "name": "bench", "type": "fairlead-direct",
                "nodeFile": file, "dataDir": home.join(format!("data{number}")),
            }))
        })
        .collect()
}

/// Attaches a pod by our plugin and gives its IPv4 address.
fn attach(node: &Namespace, programs: &Programs, conf: &Value, pod: &Namespace) -> Result<IpAddr> {
    let role = conf["type"].as_str().context("a conf without type")?;
    let plugin = Plugin {
        program: programs.ours(role),
        conf: conf.clone(),
    };
    let result = node.run(|| call(&plugin, Verb::Add, 1, pod.path(), None))??;
    let result: Value = serde_json::from_str(&result)?;
    let address = result["ips"][0]["address"].as_str().context("no address")?;
    Ok(address.parse::<IpNetwork>()?.ip())
}
