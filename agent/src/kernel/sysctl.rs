//! The sysctls that the agent owns, and when it sets them:
//!
//! | key below `net` | value | when |
//! |---|---|---|
//! | `ipv6/conf/LINK/accept_ra` | 2 | the link's default route comes from router advertisements and it is 1: with forwarding, 1 means "ignore them" |
//! | `ipv4/conf/LINK/rp_filter` | 2 | the link carries the node's IPv4 address and filters strictly, which drops pods' packets that come in by another uplink |
//! | `ipv4/ip_forward` | 1 | the node has an IPv4 pod range |
//! | `ipv6/conf/all/forwarding` | 1 | the node has an IPv6 pod range |
//!
//! And on the overlay's device, which carries what pods and nodes send each other and nothing else:
//!
//! | key below `net` | value | why |
//! |---|---|---|
//! | `ipv4/conf/DEVICE/rp_filter` | 2 | two nodes may disagree about whether they need the tunnel: with 1 in `all`, a packet is dropped whose answer would not go by the device |
//! | `ipv4/conf/DEVICE/forwarding`, `ipv6/conf/DEVICE/forwarding` | 1 | somebody may have set it for this device alone |
//! | `ipv4/conf/DEVICE/accept_redirects`, `ipv6/conf/DEVICE/accept_redirects` | 0 | routes are the agent's |
//! | `ipv6/conf/DEVICE/accept_ra` | 0 | the same |
//! | `ipv6/conf/DEVICE/disable_ipv6` | 0 | hosts may switch IPv6 off on new devices |
//! | `ipv4/ip_forward_use_pmtu` | 1 | over IPv6, where no router fragments: the device learns from their "packet too big" how much fits, and IPv4 pods are told of it only so |

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use ipnetwork::IpNetwork;

use super::facts::Facts;
use super::trouble::Trouble;
use crate::cluster::View;
use crate::config::Vxlan;
use crate::error::AgentError;
use crate::metrics::Metrics;
use crate::overlay::peers::is_over_v4;

/// Where a container without privileges gets the host's `/proc/sys/net` mounted: its own
/// `/proc/sys` is read-only.
const MOUNTED: &str = "/host/proc/sys/net";

/// Where it is otherwise.
const OWN: &str = "/proc/sys/net";

/// One key and the value it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Path below `net`.
    pub key: String,
    /// What it should be.
    pub value: &'static str,
}

/// Keeps the sysctls.
#[derive(Debug)]
pub struct Keeper {
    root: PathBuf,
    /// What has been set or found right since the start: to set it again is a repair.
    kept: Vec<Setting>,
}

impl Default for Keeper {
    fn default() -> Self {
        let mounted = Path::new(MOUNTED);
        let root = if mounted.is_dir() {
            mounted
        } else {
            Path::new(OWN)
        };
        Self {
            root: root.to_owned(),
            kept: Vec::new(),
        }
    }
}

impl Keeper {
    /// Sets what is not as wanted.
    pub fn pass(&mut self, view: &View, facts: &Facts, metrics: &Metrics, trouble: &mut Trouble) {
        let wanted = wanted(view, facts, |key| self.read(key));
        self.keep(wanted, metrics, trouble);
    }

    /// Sets what is not as wanted on the overlay's device, which is there.
    pub fn device(
        &mut self,
        config: &Vxlan,
        view: &View,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        let mut wanted = of_device(config, view);
        // Without IPv6 in the kernel there are no such keys.
        wanted.retain(|setting| self.read(&setting.key).is_some());
        self.keep(wanted, metrics, trouble);
    }

    fn keep(&mut self, wanted: Vec<Setting>, metrics: &Metrics, trouble: &mut Trouble) {
        for setting in wanted {
            let Some(written) = trouble.value(self.ensure(&setting)) else {
                continue;
            };
            let known = self.kept.contains(&setting);
            metrics.wrote("sysctl", usize::from(written), known);
            if written {
                tracing::info!(key = setting.key, value = setting.value, "set sysctl");
            }
            if !known {
                self.kept.push(setting);
            }
        }
    }

    /// The value of the key at a path below `net`; none when there is no such key.
    #[must_use]
    pub fn read(&self, key: &str) -> Option<String> {
        fs::read_to_string(self.root.join(key))
            .ok()
            .map(|text| text.trim().to_owned())
    }

    fn ensure(&self, setting: &Setting) -> Result<bool, AgentError> {
        if self.read(&setting.key).as_deref() == Some(setting.value) {
            return Ok(false);
        }
        let path = self.root.join(&setting.key);
        let written = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| file.write_all(setting.value.as_bytes()));
        match written {
            Ok(()) => Ok(true),
            Err(source) => Err(AgentError::file("set sysctl", &path, source)),
        }
    }
}

/// What should be set, in this order. `read` gives the present value of a key.
#[must_use]
pub fn wanted(view: &View, facts: &Facts, read: impl Fn(&str) -> Option<String>) -> Vec<Setting> {
    let Some(own) = &view.own else {
        return Vec::new();
    };
    let mut wanted = Vec::new();
    let mut want = |key: String, value| wanted.push(Setting { key, value });
    if own.ranges.iter().any(IpNetwork::is_ipv6) {
        for link in &facts.advertised {
            let key = format!("ipv6/conf/{link}/accept_ra");
            if matches!(read(&key).as_deref(), Some("1" | "2")) {
                want(key, "2");
            }
        }
        want("ipv6/conf/all/forwarding".to_owned(), "1");
    }
    if own.ranges.iter().any(IpNetwork::is_ipv4) {
        let uplink = own
            .addresses
            .v4
            .and_then(|address| facts.carrier(address.into()));
        if let Some(uplink) = uplink {
            let key = format!("ipv4/conf/{}/rp_filter", uplink.name);
            // The kernel takes the larger of both; 1 is strict, 2 is loose.
            let all = read("ipv4/conf/all/rp_filter").unwrap_or_default();
            match (all.as_str(), read(&key).as_deref()) {
                ("2", _) => {}
                (_, Some("1" | "2")) | ("1", Some(_)) => want(key, "2"),
                _ => {}
            }
        }
        want("ipv4/ip_forward".to_owned(), "1");
    }
    wanted
}

/// What should be set on the overlay's device.
#[must_use]
pub fn of_device(config: &Vxlan, view: &View) -> Vec<Setting> {
    const V4: &[(&str, &str)] = &[
        ("rp_filter", "2"),
        ("forwarding", "1"),
        ("accept_redirects", "0"),
    ];
    const V6: &[(&str, &str)] = &[
        ("disable_ipv6", "0"),
        ("accept_ra", "0"),
        ("forwarding", "1"),
        ("accept_redirects", "0"),
    ];
    let device = &config.device;
    let ranges = || view.own.iter().flat_map(|own| &own.ranges);
    let over_v6 = view
        .own
        .as_ref()
        .is_some_and(|own| !is_over_v4(config, own));
    let families = [
        ("ipv4", V4, ranges().any(IpNetwork::is_ipv4)),
        ("ipv6", V6, ranges().any(IpNetwork::is_ipv6)),
    ];
    let used = families.into_iter().filter(|(_, _, used)| *used);
    let learn = (over_v6 && families[0].2).then(|| Setting {
        key: "ipv4/ip_forward_use_pmtu".to_owned(),
        value: "1",
    });
    let of_families = used.flat_map(|(family, keys, _)| {
        keys.iter().map(move |(key, value)| Setting {
            key: format!("{family}/conf/{device}/{key}"),
            value,
        })
    });
    of_families.chain(learn).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::address::{Addresses, LocalAddress};
    use crate::cluster::Member;
    use crate::config::Config;

    fn view(ranges: &[&str]) -> View {
        let own = Member {
            name: "n1".to_owned(),
            addresses: Addresses::default(),
            ranges: ranges.iter().map(|range| range.parse().unwrap()).collect(),
        };
        View {
            own: Some(own),
            ..View::default()
        }
    }

    fn texts(view: &View, facts: &Facts, present: &[(&str, &str)]) -> Vec<String> {
        let present: BTreeMap<_, _> = present.iter().copied().collect();
        wanted(view, facts, |key| {
            present.get(key).map(|value| (*value).to_owned())
        })
        .into_iter()
        .map(|setting| format!("{}={}", setting.key, setting.value))
        .collect()
    }

    #[test]
    fn forwarding_is_set_for_the_families_of_the_nodes_ranges() {
        let facts = Facts::default();
        assert_eq!(
            texts(&view(&["10.0.0.0/24"]), &facts, &[]),
            ["ipv4/ip_forward=1"]
        );
        assert_eq!(
            texts(&view(&["fd00::/64"]), &facts, &[]),
            ["ipv6/conf/all/forwarding=1"]
        );
        assert_eq!(texts(&View::default(), &facts, &[]), Vec::<String>::new());
    }

    #[test]
    fn router_advertisements_are_kept_before_forwarding_is_set() {
        let facts = Facts {
            advertised: vec!["eth0".parse().unwrap()],
            ..Facts::default()
        };
        let view = view(&["fd00::/64"]);
        assert_eq!(
            texts(&view, &facts, &[("ipv6/conf/eth0/accept_ra", "1")]),
            ["ipv6/conf/eth0/accept_ra=2", "ipv6/conf/all/forwarding=1"]
        );
        // 0: somebody in user space handles advertisements.
        assert_eq!(
            texts(&view, &facts, &[("ipv6/conf/eth0/accept_ra", "0")]),
            ["ipv6/conf/all/forwarding=1"]
        );
    }

    #[test]
    fn the_overlays_device_forwards_and_listens_to_no_router() {
        let texts = |ranges: &[&str]| -> Vec<String> {
            let mut view = view(ranges);
            view.own.as_mut().unwrap().addresses.v4 = Some([192, 0, 2, 1].into());
            let settings = of_device(&vxlan(), &view).into_iter();
            let text = |s: Setting| format!("{}={}", s.key.replace("/conf/fl-vxlan", ""), s.value);
            settings.map(text).collect()
        };
        assert_eq!(
            texts(&["10.0.0.0/24"]),
            [
                "ipv4/rp_filter=2",
                "ipv4/forwarding=1",
                "ipv4/accept_redirects=0"
            ]
        );
        assert_eq!(
            texts(&["fd00::/64"]),
            [
                "ipv6/disable_ipv6=0",
                "ipv6/accept_ra=0",
                "ipv6/forwarding=1",
                "ipv6/accept_redirects=0"
            ]
        );
    }

    fn vxlan() -> Vxlan {
        Config::parse("network: {mode: vxlan}")
            .unwrap()
            .network
            .vxlan
    }

    #[test]
    fn ipv4_pods_over_ipv6_learn_what_fits_its_routers() {
        let has = |ranges: &[&str]| {
            let settings = of_device(&vxlan(), &view(ranges));
            settings
                .iter()
                .any(|s| s.key == "ipv4/ip_forward_use_pmtu" && s.value == "1")
        };
        assert!(has(&["10.0.0.0/24", "fd00::/64"]));
        assert!(!has(&["fd00::/64"]));
    }

    #[test]
    fn only_a_strict_filter_on_the_uplink_is_loosened() {
        assert!(
            Facts::default()
                .carrier("192.0.2.1".parse().unwrap())
                .is_none()
        );
        let facts = Facts {
            local: vec![LocalAddress {
                link: "eth0".parse().unwrap(),
                ip: "192.0.2.1".parse().unwrap(),
            }],
            ..Facts::default()
        };
        // Without the link itself there is nothing to set.
        assert_eq!(
            texts(&view(&["10.0.0.0/24"]), &facts, &[]),
            ["ipv4/ip_forward=1"]
        );
    }
}
