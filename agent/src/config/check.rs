//! From the written configuration to the checked one; the only place that judges values.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use fairlead_cni_netlink::LinkName;
use fairlead_cni_node::node_file::{MTU_MAX, MTU_MIN_V6};
use fairlead_cni_node::owned;
use fairlead_cni_overlay::Vni;
use ipnetwork::IpNetwork;
use serde_json::Value;

use super::raw::{self, AddressFrom, Raw, StateFrom};
use super::{
    AddressSource, Api, Cni, Config, Dscp, Gc, Log, Masquerade, Network, StateSource, Vxlan,
    period, policy,
};
use crate::error::AgentError;

pub(super) type Checked<T> = Result<T, AgentError>;

#[expect(
    clippy::needless_pass_by_value,
    reason = "callers hand over texts made for this"
)]
pub(super) fn bad<T>(
    key: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> Checked<T> {
    Err(AgentError::Config {
        key,
        value: value.to_string(),
        expected,
    })
}

pub(super) fn config(raw: Raw) -> Checked<Config> {
    let resync_period = duration("resyncPeriod", &raw.resync_period.0)?;
    if resync_period.is_zero() {
        return bad("resyncPeriod", raw.resync_period.0, "a period above zero");
    }
    Ok(Config {
        network: network(raw.network)?,
        node_name: Some(raw.node.name).filter(|name| !name.is_empty()),
        address: address(raw.node.address)?,
        api: api(&raw.cluster_state)?,
        cluster_state: cluster_state(raw.cluster_state)?,
        masquerade: masquerade(raw.masquerade)?,
        bpf_dir: path("policy.bpfDir", raw.policy.bpf_dir.clone())?,
        policy: policy::policy(raw.policy)?,
        forward_accept: raw.forward_accept,
        set_network_unavailable: raw.set_network_unavailable.0,
        cni: cni(raw.cni)?,
        gc: gc(&raw.gc)?,
        resync_period,
        run_dir: path(
            "runDir",
            raw.run_dir.unwrap_or_else(|| owned::RUN_DIR.to_owned()),
        )?,
        health: socket("health.listen", &raw.health.listen)?,
        metrics: if raw.metrics.enabled {
            Some(socket("metrics.listen", &raw.metrics.listen)?)
        } else {
            None
        },
        log: Log {
            format: raw.log.format,
            level: level(&raw.log.level)?,
        },
    })
}

fn network(raw: raw::Network) -> Checked<Network> {
    let mut characters = raw.name.chars();
    let named = characters.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && characters.all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
    if !named {
        let expected =
            "a name of letters, digits, '_', '.' and '-' that starts with a letter or digit";
        return bad("network.name", format!("{:?}", raw.name), expected);
    }
    let mtu = match raw.mtu {
        0 => None,
        mtu if (MTU_MIN_V6..=MTU_MAX).contains(&mtu) => Some(mtu),
        mtu => {
            return bad(
                "network.mtu",
                mtu,
                "0 (that of the uplink) or 1280 to 65535",
            );
        }
    };
    Ok(Network {
        name: raw.name,
        mode: raw.mode,
        mtu,
        vxlan: vxlan(&raw.vxlan)?,
    })
}

fn vxlan(raw: &raw::Vxlan) -> Checked<Vxlan> {
    let Some(vni) = u32::try_from(raw.vni).ok().and_then(Vni::new) else {
        return bad("network.vxlan.vni", raw.vni, "1 to 16777215");
    };
    let Some(port) = port(raw.port) else {
        return bad("network.vxlan.port", raw.port, "1 to 65535");
    };
    let Ok(ttl) = u8::try_from(raw.ttl) else {
        return bad("network.vxlan.ttl", raw.ttl, "0 (the system's) or 1 to 255");
    };
    Ok(Vxlan {
        tunnel: raw.tunnel,
        underlay: raw.underlay,
        vni,
        port,
        source_ports: source_ports(&raw.source_ports)?,
        ttl,
        dscp: dscp(&raw.dscp)?,
        udp_checksum: raw.udp_checksum,
        checksum_offload: raw.checksum_offload.0,
        device: device(&raw.device)?,
    })
}

fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}

fn source_ports(raw: &raw::Ports) -> Checked<Option<RangeInclusive<u16>>> {
    match (raw.from, raw.to, port(raw.from), port(raw.to)) {
        (0, 0, ..) => Ok(None),
        (_, _, Some(from), Some(to)) if from <= to => Ok(Some(from..=to)),
        (from, to, ..) => bad(
            "network.vxlan.sourcePorts",
            format!("from {from} to {to}"),
            "from 0 to 0 (the kernel's), or 1 to 65535 with from not above to",
        ),
    }
}

fn dscp(raw: &Value) -> Checked<Dscp> {
    let value = raw.as_u64().and_then(|value| u8::try_from(value).ok());
    match value {
        Some(value) if value <= 63 => Ok(Dscp::Value(value)),
        _ if raw == "inherit" => Ok(Dscp::Inherit),
        _ => bad("network.vxlan.dscp", raw, "0 to 63 or inherit"),
    }
}

fn device(name: &str) -> Checked<LinkName> {
    match name.parse() {
        Ok(checked) if !owned::is_host_link(name) => Ok(checked),
        _ => bad(
            "network.vxlan.device",
            format!("{name:?}"),
            "the name of an interface, 1 to 15 bytes, unlike those of pods' host ends \
             (fl and 12 hexadecimal digits)",
        ),
    }
}

fn address(raw: raw::Address) -> Checked<AddressSource> {
    let unused = |key, set: bool, wanted: AddressFrom| {
        if set && raw.from != wanted {
            return bad(
                key,
                "set",
                "unset, as node.address.from asks for something else",
            );
        }
        Ok(())
    };
    unused(
        "node.address.interface",
        raw.interface.is_some(),
        AddressFrom::Interface,
    )?;
    unused("node.address.cidrs", raw.cidrs.is_some(), AddressFrom::Cidr)?;
    unused(
        "node.address.annotation",
        raw.annotation.is_some(),
        AddressFrom::Annotation,
    )?;
    match raw.from {
        AddressFrom::InternalIp => Ok(AddressSource::InternalIp),
        AddressFrom::Interface => {
            let name = raw.interface.unwrap_or_default();
            match name.parse() {
                Ok(name) => Ok(AddressSource::Interface(name)),
                Err(_) => bad(
                    "node.address.interface",
                    format!("{name:?}"),
                    "the name of an interface, 1 to 15 bytes",
                ),
            }
        }
        AddressFrom::Cidr => {
            let cidrs = ranges("node.address.cidrs", raw.cidrs.unwrap_or_default())?;
            if cidrs.is_empty() {
                return bad("node.address.cidrs", "empty", "at least one address range");
            }
            Ok(AddressSource::Cidrs(cidrs))
        }
        AddressFrom::Annotation => match raw.annotation.filter(|key| !key.is_empty()) {
            Some(key) => Ok(AddressSource::Annotation(key)),
            None => bad(
                "node.address.annotation",
                "empty",
                "the key of an annotation",
            ),
        },
    }
}

fn api(raw: &raw::ClusterState) -> Checked<Api> {
    let watch_timeout = duration("clusterState.watchTimeout", &raw.watch_timeout.0)?;
    if !(1_000..=290_000).contains(&watch_timeout.as_millis()) || watch_timeout.subsec_nanos() != 0
    {
        return bad(
            "clusterState.watchTimeout",
            &raw.watch_timeout.0,
            "a period of whole seconds from 1s to 290s",
        );
    }
    let retry_max = duration("clusterState.retryMax", &raw.retry_max.0)?;
    if !(Duration::from_millis(100)..=Duration::from_mins(10)).contains(&retry_max) {
        return bad(
            "clusterState.retryMax",
            &raw.retry_max.0,
            "a period from 100ms to 10m",
        );
    }
    Ok(Api {
        watch_timeout,
        retry_max,
    })
}

fn cluster_state(raw: raw::ClusterState) -> Checked<StateSource> {
    match (raw.from, raw.directory) {
        (StateFrom::Kubernetes, None) => Ok(StateSource::Kubernetes),
        (StateFrom::Kubernetes, Some(directory)) => bad(
            "clusterState.directory",
            directory,
            "unset, as clusterState.from is kubernetes",
        ),
        (StateFrom::Directory, directory) => {
            path("clusterState.directory", directory.unwrap_or_default())
                .map(StateSource::Directory)
        }
    }
}

fn masquerade(raw: raw::Masquerade) -> Checked<Option<Masquerade>> {
    let checked = Masquerade {
        random_fully: raw.random_fully.0,
        cluster_cidrs: ranges("masquerade.clusterCIDRs", raw.cluster_cidrs)?,
        non_masquerade_cidrs: ranges("masquerade.nonMasqueradeCIDRs", raw.non_masquerade_cidrs)?,
    };
    Ok(raw.enabled.0.then_some(checked))
}

fn cni(raw: raw::Cni) -> Checked<Cni> {
    let plain = !raw.conf_name.contains('/') && !raw.conf_name.starts_with('.');
    if !plain || !raw.conf_name.ends_with(".conflist") {
        return bad(
            "cni.confName",
            format!("{:?}", raw.conf_name),
            "a file name that ends with .conflist",
        );
    }
    for plugin in &raw.extra_plugins {
        if plugin
            .get("type")
            .and_then(Value::as_str)
            .is_none_or(str::is_empty)
        {
            return bad("cni.extraPlugins", plugin, "objects, each with a type");
        }
    }
    Ok(Cni {
        install: raw.install,
        plugin_source: path("cni.pluginSource", raw.plugin_source)?,
        bin_dir: path("cni.binDir", raw.bin_dir)?,
        conf_dir: path("cni.confDir", raw.conf_dir)?,
        conf_name: raw.conf_name,
        data_dir: path("cni.dataDir", raw.data_dir)?,
        extra_plugins: raw.extra_plugins,
    })
}

fn gc(raw: &raw::Gc) -> Checked<Option<Gc>> {
    let endpoint = raw
        .runtime_endpoint
        .strip_prefix("unix://")
        .unwrap_or(&raw.runtime_endpoint);
    let checked = Gc {
        runtime_endpoint: path("gc.runtimeEndpoint", endpoint.to_owned())?,
        period: duration("gc.period", &raw.period.0)?,
        min_age: duration("gc.minAge", &raw.min_age.0)?,
    };
    Ok(raw.enabled.then_some(checked))
}

pub(super) fn path(key: &'static str, text: String) -> Checked<PathBuf> {
    if text.starts_with('/') {
        return Ok(PathBuf::from(text));
    }
    bad(key, format!("{text:?}"), "an absolute path")
}

fn socket(key: &'static str, text: &str) -> Checked<SocketAddr> {
    match text.parse() {
        Ok(address) => Ok(address),
        Err(_) => bad(key, format!("{text:?}"), "address:port or [address]:port"),
    }
}

pub(super) fn duration(key: &'static str, text: &str) -> Checked<Duration> {
    match period::parse(text) {
        Some(period) => Ok(period),
        None => bad(
            key,
            format!("{text:?}"),
            "a period such as 90s, 5m or 1h30m",
        ),
    }
}

fn level(text: &str) -> Checked<tracing::Level> {
    match ["error", "warn", "info", "debug", "trace"]
        .contains(&text)
        .then(|| text.parse())
    {
        Some(Ok(level)) => Ok(level),
        _ => bad(
            "log.level",
            format!("{text:?}"),
            "error, warn, info, debug or trace",
        ),
    }
}

fn ranges(key: &'static str, ranges: Vec<IpNetwork>) -> Checked<Vec<IpNetwork>> {
    match ranges.iter().find(|range| range.ip() != range.network()) {
        Some(range) => bad(key, range, "address ranges without host bits"),
        None => Ok(ranges),
    }
}
