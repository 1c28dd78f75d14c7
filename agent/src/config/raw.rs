//! The configuration file as it is written: every key with its default, nothing checked yet.

use fairlead_cni_node::policy::OnAgentAway;
use fairlead_cni_node::{Mode, owned};
use ipnetwork::IpNetwork;
use serde::Deserialize;
use serde_json::Value;

/// The whole file. A key that stands in no struct here is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) network: Network,
    pub(super) node: Node,
    pub(super) cluster_state: ClusterState,
    pub(super) masquerade: Masquerade,
    pub(super) policy: Policy,
    pub(super) forward_accept: bool,
    pub(super) set_network_unavailable: Enabled,
    pub(super) cni: Cni,
    pub(super) gc: Gc,
    pub(super) resync_period: Text<60>,
    pub(super) run_dir: Option<String>,
    pub(super) health: Health,
    pub(super) metrics: Metrics,
    pub(super) log: Log,
}

/// A switch that is on unless set.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(transparent)]
pub(super) struct Enabled(pub(super) bool);

impl Default for Enabled {
    fn default() -> Self {
        Self(true)
    }
}

/// A period as text; `SECONDS` is its default.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<const SECONDS: u64>(pub(super) String);

impl<const SECONDS: u64> Default for Text<SECONDS> {
    fn default() -> Self {
        Self(format!("{SECONDS}s"))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) mode: Mode,
    pub(super) mtu: u32,
    pub(super) vxlan: Vxlan,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            name: owned::NETWORK_NAME.to_owned(),
            mode: Mode::Direct,
            mtu: 0,
            vxlan: Vxlan::default(),
        }
    }
}

/// Numbers are wide enough for any wrong value to be told with the legal range.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Vxlan {
    pub(super) tunnel: super::Tunnel,
    pub(super) underlay: super::Underlay,
    pub(super) vni: i64,
    pub(super) port: i64,
    pub(super) source_ports: Ports,
    pub(super) ttl: i64,
    pub(super) dscp: Value,
    pub(super) udp_checksum: bool,
    pub(super) checksum_offload: Enabled,
    pub(super) device: String,
}

impl Default for Vxlan {
    fn default() -> Self {
        Self {
            tunnel: super::Tunnel::CrossSubnet,
            underlay: super::Underlay::Auto,
            vni: 76,
            port: 4789,
            source_ports: Ports::default(),
            ttl: 0,
            dscp: 0.into(),
            udp_checksum: false,
            checksum_offload: Enabled(true),
            device: owned::VXLAN_DEVICE.to_owned(),
        }
    }
}

/// The first and the last port.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Ports {
    pub(super) from: i64,
    pub(super) to: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) address: Address,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Address {
    pub(super) from: AddressFrom,
    pub(super) interface: Option<String>,
    pub(super) cidrs: Option<Vec<IpNetwork>>,
    pub(super) annotation: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum AddressFrom {
    #[default]
    #[serde(rename = "internalIP")]
    InternalIp,
    #[serde(rename = "interface")]
    Interface,
    #[serde(rename = "cidr")]
    Cidr,
    #[serde(rename = "annotation")]
    Annotation,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClusterState {
    pub(super) from: StateFrom,
    pub(super) directory: Option<String>,
    pub(super) watch_timeout: Text<290>,
    pub(super) retry_max: Text<30>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum StateFrom {
    #[default]
    Kubernetes,
    Directory,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Masquerade {
    pub(super) enabled: Enabled,
    pub(super) random_fully: Enabled,
    #[serde(rename = "clusterCIDRs")]
    pub(super) cluster_cidrs: Vec<IpNetwork>,
    #[serde(rename = "nonMasqueradeCIDRs")]
    pub(super) non_masquerade_cidrs: Vec<IpNetwork>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Cni {
    pub(super) install: bool,
    pub(super) plugin_source: String,
    pub(super) bin_dir: String,
    pub(super) conf_dir: String,
    pub(super) conf_name: String,
    pub(super) data_dir: String,
    pub(super) extra_plugins: Vec<Value>,
}

impl Default for Cni {
    fn default() -> Self {
        Self {
            install: true,
            plugin_source: "/usr/libexec/fairlead/fairlead-cni".to_owned(),
            bin_dir: "/opt/cni/bin".to_owned(),
            conf_dir: "/etc/cni/net.d".to_owned(),
            conf_name: owned::CONFLIST_NAME.to_owned(),
            data_dir: owned::DATA_DIR.to_owned(),
            extra_plugins: Vec::new(),
        }
    }
}

/// Numbers are wide enough for any wrong value to be told with the legal range.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) enabled: bool,
    pub(super) on_agent_away: OnAgentAway,
    pub(super) check_sources: bool,
    pub(super) shortcut: bool,
    pub(super) sample_flows: i64,
    pub(super) start_timeout: Text<2>,
    pub(super) bpf_dir: String,
    pub(super) maps: Maps,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            enabled: true,
            on_agent_away: OnAgentAway::default(),
            check_sources: true,
            shortcut: true,
            sample_flows: 0,
            start_timeout: Text::default(),
            bpf_dir: owned::BPF_DIR.to_owned(),
            maps: Maps::default(),
        }
    }
}

/// Entries of each map; those not set are the data path's own.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Maps {
    pub(super) flows: Option<i64>,
    pub(super) new_flows: Option<i64>,
    pub(super) addresses: Option<i64>,
    pub(super) cells: Option<i64>,
    pub(super) prefixes: Option<i64>,
    pub(super) ports: Option<i64>,
    pub(super) sets: Option<i64>,
    pub(super) endpoints: Option<i64>,
    pub(super) fragments: Option<i64>,
    pub(super) events: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Gc {
    pub(super) enabled: bool,
    pub(super) runtime_endpoint: String,
    pub(super) period: Text<3600>,
    pub(super) min_age: Text<300>,
}

impl Default for Gc {
    fn default() -> Self {
        Self {
            enabled: true,
            runtime_endpoint: "/run/containerd/containerd.sock".to_owned(),
            period: Text::default(),
            min_age: Text::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Health {
    pub(super) listen: String,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:9475".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub(super) enabled: bool,
    pub(super) listen: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: "0.0.0.0:9476".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) format: super::LogFormat,
    pub(super) level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: super::LogFormat::Text,
            level: "info".to_owned(),
        }
    }
}
