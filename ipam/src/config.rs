//! host-local's configuration, parsed once into checked types.
//!
//! Accepts what the reference `host-local` 1.9.1 accepts, with three exceptions, all of which that
//! plugin turns into a broken network: a range that ends before it starts is refused, more than 16
//! range sets are refused, and `IP=` of `CNI_ARGS` is ignored when `args.cni.ips` is given, as CNI's
//! CONVENTIONS ask.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;
use serde::{Deserialize, Deserializer};

use crate::error::{IpamError, RangeError, Result};
use crate::range::{Range, RangeSet};
use crate::resolver::{self, Dns};

/// host-local's `dataDir` where the configuration names none.
pub const DEFAULT_DATA_DIR: &str = "/var/lib/cni/networks";

/// Most range sets of a network, hence most addresses of an attachment.
pub const MAX_SETS: usize = 16;

/// A network's name: a file name (CNI 1.1.0, "Network configuration format", `name`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkName(String);

impl NetworkName {
    /// Takes a name that starts with a letter or digit and goes on with those, `_`, `.` and `-`.
    ///
    /// # Errors
    /// Any other name, or one of more than 200 bytes.
    pub fn new(name: &str) -> Result<Self> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let starts = name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric());
        if starts && name.len() <= 200 && name.bytes().all(legal) {
            return Ok(Self(name.to_owned()));
        }
        Err(IpamError::Config {
            key: "name",
            value: format!("{name:?}"),
            legal: "a letter or digit, then letters, digits, '_', '.', '-', at most 200 in all"
                .into(),
        })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Everything that the `ipam` section and the runtime's arguments say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Name of the network, which names the lease file.
    pub network: NetworkName,
    /// Folder of the lease files.
    pub data_dir: PathBuf,
    /// One address is taken from each: `runtimeConfig.ipRanges`, then the old `subnet` keys, then `ranges`.
    pub sets: Vec<RangeSet>,
    /// Requested addresses: `IP=` or `args.cni.ips`, then `runtimeConfig.ips`.
    pub requested: Vec<IpAddr>,
    /// `routes`, passed on to the result.
    pub routes: Vec<Route>,
    /// `resolvConf`, a file in resolv.conf(5)'s format.
    pub resolv_conf: Option<PathBuf>,
}

/// One of `routes`; the last five are CNI 1.1.0's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Route {
    /// Destination.
    pub dst: IpNetwork,
    /// Next hop; none means the address's gateway.
    #[serde(default, deserialize_with = "blank_is_none")]
    pub gw: Option<IpAddr>,
    /// MTU along the path, in bytes.
    pub mtu: Option<u32>,
    /// Largest TCP segment announced, in bytes.
    pub advmss: Option<u32>,
    /// Metric: the lowest wins.
    pub priority: Option<u32>,
    /// Number of the routing table.
    pub table: Option<u32>,
    /// The kernel's scope number (`RT_SCOPE_*`).
    pub scope: Option<u32>,
}

impl Config {
    /// Reads the plugin's standard input. Of `cni_args` (`CNI_ARGS`) only `IP` is looked at.
    ///
    /// # Errors
    /// Broken JSON, missing keys, or values out of their range.
    pub fn parse(stdin: &[u8], cni_args: &str) -> Result<Self> {
        let raw: RawNet =
            serde_json::from_slice(stdin).map_err(|source| IpamError::Decode { source })?;
        let Some(ipam) = raw.ipam else {
            return Err(missing(
                "ipam",
                "the section with this plugin's type is required",
            ));
        };
        let requested = requested(raw.args, raw.runtime_config.ips, cni_args)?;
        let sets = range_sets(raw.runtime_config.ip_ranges, ipam.legacy, ipam.ranges)?;
        check_version(raw.cni_version.as_deref().unwrap_or("0.1.0"), &sets)?;
        Ok(Self {
            network: NetworkName::new(&raw.name)?,
            data_dir: given(ipam.data_dir)
                .unwrap_or_else(|| DEFAULT_DATA_DIR.into())
                .into(),
            sets,
            requested,
            routes: ipam.routes.unwrap_or_default(),
            resolv_conf: given(ipam.resolv_conf).map(PathBuf::from),
        })
    }

    /// The configuration of pods behind a link-local gateway: one set of each of the node's ranges.
    ///
    /// # Errors
    /// A name that is no file name, no range, or ranges too small or overlapping.
    pub fn for_pod_ranges(network: &str, data_dir: &Path, ranges: &[IpNetwork]) -> Result<Self> {
        let place = |range: &IpNetwork| format!("pod range {range}");
        let at = |range: &IpNetwork| {
            let set = Range::pods(*range).and_then(|pods| RangeSet::new(vec![pods]));
            set.map_err(|source| IpamError::Range {
                place: place(range),
                source,
            })
        };
        let sets = ranges.iter().map(at).collect::<Result<Vec<_>>>()?;
        check_sets(&sets)?;
        Ok(Self {
            network: NetworkName::new(network)?,
            data_dir: data_dir.to_owned(),
            sets,
            requested: Vec::new(),
            routes: Vec::new(),
            resolv_conf: None,
        })
    }

    /// Reads the file that `resolvConf` names.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn resolver(&self) -> Result<Option<Dns>> {
        self.resolv_conf.as_deref().map(resolver::read).transpose()
    }
}

/// The keys of the network configuration that concern addresses.
#[derive(Deserialize)]
struct RawNet {
    #[serde(default)]
    name: String,
    #[serde(rename = "cniVersion")]
    cni_version: Option<String>,
    ipam: Option<RawIpam>,
    #[serde(
        rename = "runtimeConfig",
        default,
        deserialize_with = "null_is_default"
    )]
    runtime_config: RawRuntime,
    args: Option<RawArgs>,
}

#[derive(Deserialize, Default)]
struct RawRuntime {
    #[serde(rename = "ipRanges")]
    ip_ranges: Option<Vec<Vec<RawRange>>>,
    ips: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawArgs {
    cni: Option<RawCniArgs>,
}

#[derive(Deserialize)]
struct RawCniArgs {
    ips: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RawIpam {
    #[serde(flatten)]
    legacy: RawRange,
    ranges: Option<Vec<Vec<RawRange>>>,
    routes: Option<Vec<Route>>,
    #[serde(rename = "dataDir")]
    data_dir: Option<String>,
    #[serde(rename = "resolvConf")]
    resolv_conf: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRange {
    subnet: Option<String>,
    range_start: Option<String>,
    range_end: Option<String>,
    gateway: Option<String>,
}

impl RawRange {
    fn check(self) -> Result<Range, RangeError> {
        let text = self.subnet.ok_or(RangeError::NoSubnet)?;
        let Some(subnet) = parse_subnet(&text) else {
            return Err(RangeError::BadSubnet(text));
        };
        let address = |key, value: Option<String>| {
            let parse = |value: String| match parse_ip(&value) {
                Some(address) => Ok(address),
                None => Err(RangeError::BadAddress { key, value }),
            };
            given(value).map(parse).transpose()
        };
        let start = address("rangeStart", self.range_start)?;
        let end = address("rangeEnd", self.range_end)?;
        Range::new(subnet, start, end, address("gateway", self.gateway)?)
    }
}

fn range_sets(
    runtime: Option<Vec<Vec<RawRange>>>,
    legacy: RawRange,
    ranges: Option<Vec<Vec<RawRange>>>,
) -> Result<Vec<RangeSet>> {
    let old = legacy.subnet.is_some().then(|| vec![legacy]);
    let raw = runtime
        .into_iter()
        .flatten()
        .chain(old)
        .chain(ranges.into_iter().flatten());
    let mut sets = Vec::new();
    for (index, ranges) in raw.enumerate() {
        let checked = ranges
            .into_iter()
            .map(RawRange::check)
            .collect::<Result<Vec<_>, _>>();
        let set = checked.and_then(RangeSet::new);
        sets.push(set.map_err(|source| IpamError::Range {
            place: format!("range set {index}"),
            source,
        })?);
    }
    check_sets(&sets)?;
    Ok(sets)
}

fn check_sets(sets: &[RangeSet]) -> Result<()> {
    if sets.is_empty() {
        return Err(missing(
            "ipam.ranges",
            "give at least one range set, or ipam.subnet",
        ));
    }
    if sets.len() > MAX_SETS {
        return Err(IpamError::Config {
            key: "ipam.ranges",
            value: format!("with {} range sets", sets.len()),
            legal: format!("at most {MAX_SETS}, one address of each is given to every pod"),
        });
    }
    for (index, set) in sets.iter().enumerate() {
        if let Some(other) = sets[index + 1..]
            .iter()
            .position(|other| set.overlaps(other))
        {
            let (first, second) = (set.to_string(), sets[index + 1 + other].to_string());
            let place = format!("range sets {index} and {}", index + 1 + other);
            return Err(IpamError::Range {
                place,
                source: RangeError::Overlap { first, second },
            });
        }
    }
    Ok(())
}

/// Results before 0.3.0 hold one address a family (CNI 0.2.0, "Result").
fn check_version(version: &str, sets: &[RangeSet]) -> Result<()> {
    let old = ["0.1.0", "0.2.0"].contains(&version);
    let v4 = sets.iter().filter(|set| set.is_v4()).count();
    if !old || (v4 <= 1 && sets.len() - v4 <= 1) {
        return Ok(());
    }
    Err(IpamError::Config {
        key: "cniVersion",
        value: version.to_owned(),
        legal: "more than one range set of a family needs 0.3.0 or newer".into(),
    })
}

fn requested(
    args: Option<RawArgs>,
    runtime: Option<Vec<String>>,
    cni_args: &str,
) -> Result<Vec<IpAddr>> {
    let from_args = args
        .and_then(|args| args.cni)
        .and_then(|cni| cni.ips)
        .unwrap_or_default();
    let old = if from_args.is_empty() {
        ip_of_cni_args(cni_args)
    } else {
        None
    };
    let labelled = old
        .map(|ip| ("CNI_ARGS IP", ip.to_owned()))
        .into_iter()
        .chain(from_args.into_iter().map(|ip| ("args.cni.ips", ip)))
        .chain(
            runtime
                .into_iter()
                .flatten()
                .map(|ip| ("runtimeConfig.ips", ip)),
        );
    let mut addresses = Vec::new();
    for (key, value) in labelled {
        let host = value
            .split_once('/')
            .map_or(value.as_str(), |(host, _)| host);
        let bare = host.len() == value.len() || value.parse::<IpNetwork>().is_ok();
        match parse_ip(host).filter(|_| bare) {
            Some(address) if addresses.contains(&address) => {}
            Some(address) => addresses.push(address),
            None => {
                let legal = "an IP address, with or without a prefix length".into();
                return Err(IpamError::Config {
                    key,
                    value: format!("{value:?}"),
                    legal,
                });
            }
        }
    }
    Ok(addresses)
}

/// `IP` of `K1=V1;K2=V2`; an empty value counts as absent.
fn ip_of_cni_args(cni_args: &str) -> Option<&str> {
    let pairs = cni_args.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .rev()
        .find(|(key, value)| *key == "IP" && !value.is_empty())
        .map(|(_, value)| value)
}

/// A subnet with its prefix length; IPv4 mapped into IPv6 is neither of both.
fn parse_subnet(text: &str) -> Option<IpNetwork> {
    let subnet: IpNetwork = text.contains('/').then(|| text.parse().ok()).flatten()?;
    (subnet.ip().to_canonical() == subnet.ip()).then_some(subnet)
}

/// An address; IPv4 mapped into IPv6 is IPv4.
fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .map(|address| address.to_canonical())
}

fn given(value: Option<String>) -> Option<String> {
    value.filter(|value| !value.is_empty())
}

fn missing(key: &'static str, legal: &str) -> IpamError {
    IpamError::Config {
        key,
        value: "is missing".into(),
        legal: legal.into(),
    }
}

fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn blank_is_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IpAddr>, D::Error> {
    let text = given(Option::<String>::deserialize(deserializer)?);
    text.map(|text| text.parse().map_err(serde::de::Error::custom))
        .transpose()
}

#[cfg(test)]
mod tests;
