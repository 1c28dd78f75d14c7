//! The agent's configuration: one YAML file, checked as a whole before anything starts.
//!
//! [`Config`] holds values that are known to be good; nothing behind it checks again.

mod check;
mod period;
mod policy;
mod raw;
#[cfg(test)]
mod tests;
mod vxlan;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fairlead_cni_netlink::LinkName;
use fairlead_cni_node::Mode;
use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;

use crate::error::AgentError;
pub use policy::Policy;
pub use vxlan::{Dscp, Tunnel, Underlay, Vxlan};

/// Everything an operator can set, `agent.yaml`.
#[derive(Debug, Clone)]
pub struct Config {
    /// The network that pods join.
    pub network: Network,
    /// `node.name`; `None` means that of the environment variable `NODE_NAME`.
    pub node_name: Option<String>,
    /// `node.address`: which address of a node others reach it by.
    pub address: AddressSource,
    /// `clusterState`: where Nodes come from.
    pub cluster_state: StateSource,
    /// `clusterState`: how the API server is asked.
    pub api: Api,
    /// Masquerade of pod traffic that leaves the cluster; `None` when off.
    pub masquerade: Option<Masquerade>,
    /// Enforcement of `NetworkPolicy`; `None` when off.
    pub policy: Option<Policy>,
    /// `policy.bpfDir`, also where policy is off: what is there is removed then.
    pub bpf_dir: PathBuf,
    /// `forwardAccept`: keep an accept rule in foreign forward chains that drop.
    pub forward_accept: bool,
    /// `setNetworkUnavailable`: set the Node condition `NetworkUnavailable` to `False`.
    pub set_network_unavailable: bool,
    /// The plugin and its configuration on the node.
    pub cni: Cni,
    /// Collection of leases whose pod is gone; `None` when off.
    pub gc: Option<Gc>,
    /// `resyncPeriod`: time between two full comparisons, above zero.
    pub resync_period: Duration,
    /// `runDir`: folder of the node file, the policy socket and the pods' attachments.
    pub run_dir: PathBuf,
    /// `health.listen`: address of `/healthz` and `/readyz`.
    pub health: SocketAddr,
    /// `metrics.listen`: address of `/metrics`; `None` when off.
    pub metrics: Option<SocketAddr>,
    /// How logs look and how much is logged.
    pub log: Log,
}

/// `network`.
#[derive(Debug, Clone)]
pub struct Network {
    /// Its name, also that of its lease file; letters, digits, `_`, `.` and `-`.
    pub name: String,
    /// How pods reach other nodes.
    pub mode: Mode,
    /// MTU of pod interfaces in bytes; `None` means that of the uplink.
    pub mtu: Option<u32>,
    /// The tunnel of mode `vxlan`.
    pub vxlan: Vxlan,
}

/// `node.address`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressSource {
    /// The first `InternalIP` of each family in `status.addresses`.
    InternalIp,
    /// The first global address of each family on this interface of every node.
    Interface(LinkName),
    /// The first address of each family that lies in one of these ranges.
    Cidrs(Vec<IpNetwork>),
    /// The addresses in this annotation, separated by commas.
    Annotation(String),
}

/// `clusterState`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateSource {
    /// The Nodes of a Kubernetes API server.
    Kubernetes,
    /// The Nodes in the files of this folder.
    Directory(PathBuf),
}

/// The times of `clusterState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Api {
    /// `watchTimeout`: how long a watch lasts before another one follows it; whole seconds.
    pub watch_timeout: Duration,
    /// `retryMax`: the longest pause after an error, above zero.
    pub retry_max: Duration,
}

/// `masquerade`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masquerade {
    /// Source ports of masqueraded flows are chosen at random.
    pub random_fully: bool,
    /// Ranges of the cluster beside the nodes' pod ranges: neither masqueraded to nor, as pods'
    /// sources, left without masquerade.
    pub cluster_cidrs: Vec<IpNetwork>,
    /// Ranges outside of the cluster that know the way back to pods.
    pub non_masquerade_cidrs: Vec<IpNetwork>,
}

/// `cni`.
#[derive(Debug, Clone)]
pub struct Cni {
    /// Install the plugin binary and the configuration list.
    pub install: bool,
    /// Where the binary to install is.
    pub plugin_source: PathBuf,
    /// Where the runtime looks for plugins.
    pub bin_dir: PathBuf,
    /// Where the runtime looks for configurations.
    pub conf_dir: PathBuf,
    /// File name of our configuration list in `conf_dir`.
    pub conf_name: String,
    /// Where lease files are.
    pub data_dir: PathBuf,
    /// Plugins chained after ours: objects with a `type`.
    pub extra_plugins: Vec<Value>,
}

/// `gc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gc {
    /// The container runtime's socket.
    pub runtime_endpoint: PathBuf,
    /// Time between two passes.
    pub period: Duration,
    /// A younger lease is never removed.
    pub min_age: Duration,
}

/// `log`.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least severe level that is written.
    pub level: tracing::Level,
}

/// `log.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// [`AgentError::File`] when it cannot be read, otherwise as [`Config::parse`].
    pub fn load(path: &Path) -> Result<Self, AgentError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| AgentError::file("read", path, source))?;
        Self::parse(&text)
    }

    /// Checks `text`. An empty text is the default configuration.
    ///
    /// # Errors
    ///
    /// [`AgentError::Yaml`] for broken YAML, unknown keys and wrong types,
    /// [`AgentError::Config`] for a value out of its range.
    pub fn parse(text: &str) -> Result<Self, AgentError> {
        let raw: Option<raw::Raw> = serde_saphyr::from_str_with_options(
            text,
            serde_saphyr::options! {
                with_snippet: false,
            },
        )
        .map_err(|source| AgentError::Yaml {
            what: "configuration".to_owned(),
            source: Box::new(source),
        })?;
        check::config(raw.unwrap_or_default())
    }
}
