//! What a cluster is: names, addresses, folders. Pure but for reading and writing its own file.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::underlay::{Addresses, Subnet};

/// Pod ranges of the whole cluster; the controller manager gives each node a /24 and a /64.
pub(crate) const POD_RANGES: &str = "10.244.0.0/16,fd00:244::/48";
/// Ranges of Services' addresses.
pub(crate) const SERVICE_RANGES: &str = "10.96.0.0/16,fd00:96::/112";
/// The API server's Service address: the first of the range.
pub(crate) const API_SERVICE: &str = "10.96.0.1";
/// Where cluster DNS answers when it is installed.
pub(crate) const DNS_SERVICE: &str = "10.96.0.10";
/// The control plane's address: the underlay router's in its first subnet.
pub(crate) const ROUTER: Addresses = Subnet::FIRST.router();
/// The API server's port.
pub(crate) const API_PORT: u16 = 6443;

const FILE: &str = "cluster.json";
const VERSION: u32 = 1;
const MAX_NODES: u8 = 50;
const MAX_SUBNETS: u8 = 9;

/// The container runtime of the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Runtime {
    /// Debian 12's containerd 1.6.
    #[value(name = "containerd1.6")]
    Containerd16,
    /// containerd 2.x, built from its Go module.
    #[value(name = "containerd2")]
    Containerd2,
}

/// How kube-proxy programs Services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum ProxyMode {
    /// nftables tables of its own.
    Nftables,
    /// iptables chains.
    Iptables,
}

/// What gives pods their network before a chart does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum Cni {
    /// Nothing: nodes stay `NotReady` until a network is installed.
    None,
    /// The reference plugins `bridge` and `host-local` with static routes, to judge the lab itself.
    Reference,
}

/// How Fairlead carries pods' packets to other nodes: the chart's `network.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    /// By routes, between nodes of one subnet.
    Direct,
    /// In VXLAN where there is a router in between.
    Vxlan,
}

impl Mode {
    /// The chart's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Vxlan => "vxlan",
        }
    }
}

/// A cluster's description, kept as `cluster.json` in its folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Cluster {
    version: u32,
    pub(crate) name: String,
    pub(crate) nodes: u8,
    /// Subnets that the nodes are dealt out among.
    pub(crate) subnets: u8,
    pub(crate) runtime: Runtime,
    pub(crate) proxy_mode: ProxyMode,
    pub(crate) cni: Cni,
    /// Reference plugins that every node has, for chains such as `portmap`.
    pub(crate) plugins: Vec<String>,
    /// Whether every start of a node counts as a boot of its own.
    pub(crate) own_boot_ids: bool,
    /// Folder of tools, unpacked packages and images.
    pub(crate) cache: PathBuf,
    /// The cluster's own folder.
    pub(crate) home: PathBuf,
}

/// What a user asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) name: String,
    pub(crate) nodes: u8,
    pub(crate) subnets: u8,
    pub(crate) runtime: Runtime,
    pub(crate) proxy_mode: ProxyMode,
    pub(crate) cni: Cni,
    pub(crate) plugins: Vec<String>,
    pub(crate) own_boot_ids: bool,
}

impl Cluster {
    /// Checks a wish and turns it into a description. `dir` holds all clusters.
    pub(crate) fn new(wish: Wish, dir: &Path, cache: &Path) -> Result<Self> {
        check_name(&wish.name)?;
        ensure!(
            (1..=MAX_NODES).contains(&wish.nodes),
            "{} nodes: must be 1 to {MAX_NODES}",
            wish.nodes
        );
        ensure!(
            (1..=MAX_SUBNETS).contains(&wish.subnets),
            "{} subnets: must be 1 to {MAX_SUBNETS}",
            wish.subnets
        );
        ensure!(
            wish.cni == Cni::None || wish.subnets == 1,
            "the reference plugins route between nodes of one subnet only: leave --subnets out"
        );
        let home = dir.join(&wish.name);
        let Wish {
            name,
            nodes,
            subnets,
            runtime,
            proxy_mode,
            cni,
            plugins,
            own_boot_ids,
        } = wish;
        Ok(Self {
            version: VERSION,
            name,
            nodes,
            subnets,
            runtime,
            proxy_mode,
            cni,
            plugins,
            own_boot_ids,
            cache: cache.to_owned(),
            home,
        })
    }

    /// Reads the description of the named cluster, if there is one.
    pub(crate) fn find(dir: &Path, name: &str) -> Result<Option<Self>> {
        check_name(name)?;
        let home = dir.join(name);
        if !home.exists() {
            return Ok(None);
        }
        let file = home.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "{} holds no {FILE}: it was not made by fairlead-lab and is left alone; choose another --name or --dir",
                home.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
        };
        let cluster: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is not a cluster's description", file.display()))?;
        ensure!(
            cluster.version == VERSION && cluster.home == home,
            "{} describes version {} in {}: it was made by another fairlead-lab or moved, and is left alone",
            file.display(),
            cluster.version,
            cluster.home.display()
        );
        Ok(Some(cluster))
    }

    /// As [`Self::find`], for commands that need the cluster to be there.
    pub(crate) fn load(dir: &Path, name: &str) -> Result<Self> {
        match Self::find(dir, name)? {
            Some(cluster) => Ok(cluster),
            None => bail!(
                "there is no cluster {name} in {}: make it with `fairlead-lab up --name {name}`",
                dir.display()
            ),
        }
    }

    /// Writes the description; this is what makes the folder ours.
    pub(crate) fn save(&self) -> Result<()> {
        fs::create_dir_all(&self.home)
            .with_context(|| format!("create {}", self.home.display()))?;
        let file = self.file();
        let partial = file.with_extension("partial");
        fs::write(&partial, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&partial, &file).with_context(|| format!("write {}", file.display()))
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.home.join(FILE)
    }

    /// All members, in the order in which they start.
    pub(crate) fn members(&self) -> Vec<Member> {
        let fixed = [Member::ControlPlane, Member::Outside, Member::Api];
        fixed.into_iter().chain(self.node_members()).collect()
    }

    pub(crate) fn node_members(&self) -> impl Iterator<Item = Member> + use<> {
        (1..=self.nodes).map(Member::Node)
    }

    /// The subnet that a node is in.
    pub(crate) fn subnet(&self, index: u8) -> Subnet {
        Subnet::of_node(index, self.subnets)
    }

    /// A node's address of each family on the underlay.
    pub(crate) fn addresses(&self, index: u8) -> Addresses {
        self.subnet(index).node(index)
    }

    /// Looks a member up by its name.
    pub(crate) fn member(&self, name: &str) -> Result<Member> {
        let member: Member = name.parse()?;
        if !self.members().contains(&member) {
            bail!(
                "cluster {} has no member {name}: it has {}",
                self.name,
                list(&self.members())
            );
        }
        Ok(member)
    }

    pub(crate) fn pki(&self, name: &str) -> PathBuf {
        self.home.join("pki").join(name)
    }

    /// The kubeconfig for the machine's own network.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.home.join("kubeconfig")
    }

    /// A member's private folder.
    pub(crate) fn folder(&self, member: Member) -> PathBuf {
        self.home.join(member.to_string())
    }

    pub(crate) fn log(&self, member: Member, component: &str) -> PathBuf {
        self.home
            .join("log")
            .join(format!("{member}-{component}.log"))
    }

    /// A tool built from Go.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.cache.join("bin").join(name)
    }

    /// `PATH` of every member: the lab's tools before the machine's.
    pub(crate) fn search_path(&self) -> String {
        let debs = self.cache.join("debs");
        let mut folders = vec![self.tool("")];
        let debian = [debs.join("usr/bin"), debs.join("usr/sbin")];
        match self.runtime {
            Runtime::Containerd16 => folders.splice(0..0, debian),
            Runtime::Containerd2 => folders.splice(1..1, debian),
        };
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let lab: Vec<_> = folders
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        format!("{}:{system}", lab.join(":"))
    }
}

fn list(members: &[Member]) -> String {
    members
        .iter()
        .map(Member::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

fn check_name(name: &str) -> Result<()> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts_well || name.len() > 20 || !name.chars().all(legal) {
        bail!(
            "cluster name `{name}`: must be 1 to 20 of a-z, 0-9 and `-`, and start with a letter"
        );
    }
    Ok(())
}

/// One process that holds namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Member {
    /// Control plane and router.
    ControlPlane,
    /// The world beyond the cluster network.
    Outside,
    /// The forwarder from the machine's loopback to the API server.
    Api,
    /// A node, counted from 1.
    Node(u8),
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ControlPlane => f.write_str("cp"),
            Self::Outside => f.write_str("outside"),
            Self::Api => f.write_str("api"),
            Self::Node(index) => write!(f, "n{index}"),
        }
    }
}

impl FromStr for Member {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "cp" => Ok(Self::ControlPlane),
            "outside" => Ok(Self::Outside),
            "api" => Ok(Self::Api),
            _ => match text.strip_prefix('n').and_then(|index| index.parse().ok()) {
                Some(index) => Ok(Self::Node(index)),
                None => bail!("member `{text}`: must be cp, outside, api or a node such as n1"),
            },
        }
    }
}

#[cfg(test)]
mod tests;
