//! An agent process in a namespace, with its files in a folder of its own.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Result;
use fairlead_cni_netlink::Family;
pub(crate) use fairlead_e2e_lab::{
    LIMIT, ip, node_name as name, node_object as object, pod_ranges as ranges,
};
use fairlead_e2e_lab::{Namespace, Node, Objects, Underlay};

/// A cluster of bare namespaces: the segment and a folder of Node objects.
pub(crate) struct Cluster {
    pub(crate) underlay: Underlay,
    pub(crate) nodes: Objects,
}

impl Cluster {
    /// `count` nodes, each with its object; ranges are `10.244.N.0/24` and `fd00:244:N::/64`.
    pub(crate) fn new(count: u8) -> Result<Self> {
        let cluster = Self {
            underlay: Underlay::new(count)?,
            nodes: Objects::new()?,
        };
        for number in 0..count {
            cluster
                .nodes
                .write(&name(number), &cluster.object(number))?;
        }
        Ok(cluster)
    }

    pub(crate) fn node(&self, number: u8) -> &Node {
        &self.underlay.nodes[usize::from(number)]
    }

    pub(crate) fn ns(&self, number: u8) -> &Namespace {
        &self.node(number).ns
    }

    /// The Node object that tells the truth.
    pub(crate) fn object(&self, number: u8) -> String {
        let node = self.node(number);
        object(
            &name(number),
            &[node.v4.into(), node.v6.into()],
            &ranges(number),
        )
    }

    /// Starts the agent of a node with the folder as its source, at log level debug.
    pub(crate) fn agent(&self, number: u8, extra: &str) -> Result<Agent> {
        self.agent_with(number, &format!("log: {{level: debug}}\n{extra}"))
    }

    /// The same with logs as they come.
    pub(crate) fn agent_with(&self, number: u8, extra: &str) -> Result<Agent> {
        let state = self.nodes.source() + extra;
        Agent::start(self.ns(number), &name(number), &state, &[])
    }

    /// Starts the agent of a node, and waits until it is ready.
    pub(crate) fn ready(&self, number: u8, extra: &str) -> Result<Agent> {
        let agent = self.agent(number, extra)?;
        agent.wait_ready()?;
        Ok(agent)
    }

    /// `count` nodes, of which the first has a ready agent.
    pub(crate) fn with_agent(count: u8, extra: &str) -> Result<(Self, Agent)> {
        let cluster = Self::new(count)?;
        let agent = cluster.ready(0, extra)?;
        Ok((cluster, agent))
    }
}

/// A running agent with files of its own; killed when dropped.
pub(crate) struct Agent {
    process: fairlead_e2e_lab::Agent,
    pub(crate) folder: tempfile::TempDir,
}

impl std::ops::Deref for Agent {
    type Target = fairlead_e2e_lab::Agent;

    fn deref(&self) -> &Self::Target {
        &self.process
    }
}

impl Agent {
    /// Starts the agent of the node called `name` in `ns`; `extra` is YAML after the common part.
    pub(crate) fn start(
        ns: &Namespace,
        name: &str,
        extra: &str,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        Self::start_with_node(ns, &format!("{{name: {name}}}"), extra, env)
    }

    /// The same with the whole value of the key `node`.
    pub(crate) fn start_with_node(
        ns: &Namespace,
        node: &str,
        extra: &str,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        fs::write(folder.path().join("plugin"), "the plugin")?;
        let config = folder.path().join("agent.yaml");
        let policy = if extra.contains("policy:") {
            ""
        } else {
            "policy: {enabled: false}\n"
        };
        fs::write(
            &config,
            format!(
                "node: {node}\nrunDir: {at}/run\n\
                 cni: {{pluginSource: {at}/plugin, binDir: {at}/bin, confDir: {at}/conf, dataDir: {at}/data}}\n\
                 metrics: {{listen: '127.0.0.1:9476'}}\n{policy}{extra}"
            ),
        )?;
        let program = Path::new(env!("CARGO_BIN_EXE_fairlead-agent"));
        let process = fairlead_e2e_lab::Agent::start(program, ns, &config, env)?;
        Ok(Self { process, folder })
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Ends the agent as the kubelet does.
    pub(crate) fn terminate(self) -> Result<tempfile::TempDir> {
        self.process.terminate()?;
        Ok(self.folder)
    }
}

/// The routes of protocol 76 as ip(8) would name them, sorted.
pub(crate) fn node_routes(ns: &Namespace) -> Result<Vec<String>> {
    let mut netlink = ns.netlink()?;
    let mut found = Vec::new();
    for family in [Family::V4, Family::V6] {
        let routes = netlink.routes(family)?;
        found.extend(
            routes
                .iter()
                .filter(|r| r.protocol == 76)
                .map(ToString::to_string),
        );
    }
    found.sort();
    Ok(found)
}

/// How many node routes lead to other nodes.
pub(crate) fn routed(ns: &Namespace) -> Result<usize> {
    Ok(node_routes(ns)?
        .iter()
        .filter(|route| route.contains(" via "))
        .count())
}

pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A pod as the cluster roles attach it: host routes, and a fixed gateway.
pub(crate) struct Pod {
    pub(crate) ns: Namespace,
    pub(crate) v4: IpAddr,
    pub(crate) v6: IpAddr,
}

/// Makes the pod with the addresses `.7` and `::7` of node `number`.
pub(crate) fn pod(node: &Namespace, number: u8) -> Result<Pod> {
    let ns = Namespace::new("pod")?;
    fairlead_e2e_lab::connect(node, "fl0123456789ab", &ns, "eth0")?;
    let (v4, v6) = (
        format!("10.244.{number}.7"),
        format!("fd00:244:{number}::7"),
    );
    for (address, length, gateway) in [(&v4, 32, "169.254.1.1"), (&v6, 128, "fe80::1")] {
        let nodad = if length == 128 { " nodad" } else { "" };
        ip(
            node,
            &format!("address add {gateway}/{length} dev fl0123456789ab{nodad}"),
        )?;
        ip(
            node,
            &format!("route add {address}/{length} dev fl0123456789ab proto 76"),
        )?;
        ip(
            &ns,
            &format!("address add {address}/{length} dev eth0{nodad}"),
        )?;
        ip(
            &ns,
            &format!("route add default via {gateway} dev eth0 onlink"),
        )?;
    }
    Ok(Pod {
        ns,
        v4: v4.parse()?,
        v6: v6.parse()?,
    })
}
