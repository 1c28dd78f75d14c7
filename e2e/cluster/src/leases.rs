//! The nodes' lease files, reached from the machine.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use fairlead_ipam::{Config, Env, Lease, Netns, NetworkName, Owner, Request, Store};
use ipnetwork::IpNetwork;
use serde_json::Value;

use crate::kubectl;
use crate::node::NodeFolder;
use crate::plan::{Cluster, Member};

/// The network that the chart configures, and where its leases are.
const NETWORK: &str = "fairlead";
const DATA_DIR: &str = "/var/lib/cni";

/// The lease file of one node.
pub(crate) struct LeaseFile {
    node: String,
    folder: PathBuf,
    ranges: Vec<IpNetwork>,
    env: Env,
}

impl LeaseFile {
    /// Those of all nodes.
    pub(crate) fn all(cluster: &Cluster) -> Result<Vec<Self>> {
        let nodes = kubectl::nodes(cluster)?;
        let file = |member: Member| {
            let name = member.to_string();
            let node = nodes.iter().find(|node| node.name == name);
            let node = node.with_context(|| format!("{member} has not registered"))?;
            let ranges = node.pod_ranges.iter().map(|range| range.parse());
            let home = cluster.folder(member);
            Ok(Self {
                node: name,
                folder: NodeFolder(&home).own(DATA_DIR).join("networks"),
                ranges: ranges.collect::<Result<_, _>>()?,
                // From here every namespace of a node looks dead, and its boot may be another.
                env: Env::observer("/")?,
            })
        };
        cluster.node_members().map(file).collect()
    }

    /// The node's name.
    pub(crate) fn node(&self) -> &str {
        &self.node
    }

    fn store(&self) -> Result<Store<'_>> {
        let network = NetworkName::new(NETWORK)?;
        Ok(Store::open(&self.folder, &network, &self.env)?)
    }

    /// A lease as a crash leaves it: no sandbox has this name, and its namespace is gone.
    pub(crate) fn plant(&self, name: &str) -> Result<()> {
        let config = Config::for_pod_ranges(NETWORK, &self.folder, &self.ranges[..1])?;
        let request = Request {
            owner: &Owner::new(name, "eth0")?,
            netns: Some(&Netns {
                path: format!("/run/netns/{name}").into(),
                dev: 1,
                inode: 1,
            }),
            sets: &config.sets,
            requested: &[],
        };
        self.store()?.allocate(&request, SystemTime::now())?;
        Ok(())
    }

    /// What is held.
    pub(crate) fn leases(&self) -> Result<Vec<Lease>> {
        Ok(self.store()?.leases()?)
    }

    /// The addresses that are held.
    pub(crate) fn addresses(&self) -> Result<BTreeSet<IpAddr>> {
        Ok(self.leases()?.iter().map(|lease| lease.address).collect())
    }
}

/// The addresses of a node's pods that have a network of their own and have not ended.
pub(crate) fn of_pods(cluster: &Cluster, node: &str) -> Result<BTreeSet<IpAddr>> {
    let field = format!("--field-selector=spec.nodeName={node}");
    let pods = kubectl::json(cluster, &["get", "pods", "--all-namespaces", &field])?;
    let mut all = BTreeSet::new();
    for pod in array(&pods["items"]) {
        let phase = pod["status"]["phase"].as_str();
        let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
        if has_ended || pod["spec"]["hostNetwork"] == true {
            continue;
        }
        for ip in array(&pod["status"]["podIPs"]) {
            all.insert(ip["ip"].as_str().unwrap_or_default().parse()?);
        }
    }
    Ok(all)
}

/// Whether on every node the leases are those of its pods, no more and no less.
pub(crate) fn fit_pods(cluster: &Cluster, files: &[LeaseFile]) -> Result<bool> {
    for file in files {
        if file.addresses()? != of_pods(cluster, file.node())? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
