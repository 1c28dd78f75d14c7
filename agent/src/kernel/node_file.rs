//! Publishes the node file, from which plugins learn pod ranges and MTU.

use std::path::PathBuf;

use fairlead_cni_netlink::Link;
use fairlead_cni_node::node_file::{MTU_MAX, MTU_MIN, MTU_MIN_V6};
use fairlead_cni_node::owned::is_host_link;
use fairlead_cni_node::{Mode, NodeFile};
use ipnetwork::IpNetwork;

use super::facts::Facts;
use super::trouble::Trouble;
use crate::cluster::View;
use crate::conditions::Condition;
use crate::config::Config;
use crate::files;
use crate::metrics::Metrics;

/// Where the node file is: `node.json` in `runDir`.
#[must_use]
pub fn path(config: &Config) -> PathBuf {
    config.run_dir.join("node.json")
}

/// Where the MTU of pods comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodsMtu {
    /// It is configured, in bytes.
    Set(u32),
    /// The smallest of the links that carry the node's addresses.
    Uplink,
    /// The tunnel's paths, in bytes; `None` while they are unknown.
    Tunnel(Option<u32>),
}

/// Keeps the node file.
#[derive(Debug)]
pub struct Keeper {
    path: PathBuf,
    mode: Mode,
    published: Option<String>,
    /// How many pods had another MTU when last looked.
    stale: usize,
}

impl Keeper {
    /// Nothing is published yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            path: path(config),
            mode: config.network.mode,
            published: None,
            stale: 0,
        }
    }

    /// Counts the pods that were made when another MTU held, and says so once.
    fn count_stale(&mut self, facts: &Facts, mtu: u32, metrics: &Metrics) {
        // Ports of a bridge have the MTU of that.
        let is_stale = |link: &&Link| {
            is_host_link(link.name.as_str()) && link.master.is_none() && link.mtu != mtu
        };
        let stale = facts.links.iter().filter(is_stale).count();
        metrics.mtu.set(mtu.into());
        metrics
            .pods_mtu_stale
            .set(i64::try_from(stale).unwrap_or(i64::MAX));
        if stale > self.stale {
            tracing::warn!(
                pods = stale,
                mtu,
                "pods have another MTU than the network has now; restart them"
            );
        }
        self.stale = stale;
    }

    /// Whether the file is there, and from this agent.
    #[must_use]
    pub const fn is_published(&self) -> bool {
        self.published.is_some()
    }

    /// Publishes what is wanted.
    pub fn pass(
        &mut self,
        view: &View,
        facts: &Facts,
        mtu: PodsMtu,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        if !is_known(mtu, view, facts) {
            self.withdraw(metrics, trouble);
        }
        match wanted(view, facts, self.mode, mtu) {
            Ok(Some(file)) => self.publish(&file, facts, metrics, trouble),
            Ok(None) => {}
            Err(condition) => trouble.tell(condition),
        }
    }

    fn publish(
        &mut self,
        file: &NodeFile,
        facts: &Facts,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        self.count_stale(facts, file.mtu(), metrics);
        let text = file.to_json();
        let Some(written) = trouble.value(files::ensure(&self.path, text.as_bytes(), 0o644)) else {
            return;
        };
        metrics.wrote(
            "file",
            usize::from(written),
            self.published.as_ref() == Some(&text),
        );
        self.published = Some(text);
    }

    /// Removes the file, which may be from an agent before this one: pods that start now would get an MTU
    /// that may hold no longer.
    fn withdraw(&mut self, metrics: &Metrics, trouble: &mut Trouble) {
        self.published = None;
        metrics.mtu.set(0);
        if trouble.value(files::remove(&self.path)) == Some(true) {
            metrics.wrote("file", 1, false);
            tracing::warn!("the MTU is unknown: no pod starts until it is known again");
        }
    }
}

/// Whether the MTU of pods is known, if only as too small, or nobody asks as the node has no ranges.
fn is_known(mtu: PodsMtu, view: &View, facts: &Facts) -> bool {
    let Some(own) = view.own.as_ref().filter(|own| !own.ranges.is_empty()) else {
        return true;
    };
    match mtu {
        PodsMtu::Set(_) => true,
        PodsMtu::Tunnel(mtu) => mtu.is_some(),
        PodsMtu::Uplink => own.addresses.iter().any(|ip| facts.carrier(ip).is_some()),
    }
}

/// What should be in the file; nothing while the node has no ranges or no address, or the MTU is unknown.
///
/// # Errors
///
/// [`Condition::NoUplink`] or [`Condition::SmallMtu`] when no good MTU can be told.
pub fn wanted(
    view: &View,
    facts: &Facts,
    mode: Mode,
    mtu: PodsMtu,
) -> Result<Option<NodeFile>, Condition> {
    let Some(own) = view.own.as_ref().filter(|own| !own.ranges.is_empty()) else {
        return Ok(None);
    };
    let min = if own.ranges.iter().any(IpNetwork::is_ipv6) {
        MTU_MIN_V6
    } else {
        MTU_MIN
    };
    let carriers: Vec<_> = own
        .addresses
        .iter()
        .map(|a| (a, facts.carrier(a)))
        .collect();
    let smallest = carriers
        .iter()
        .filter_map(|(_, link)| *link)
        .min_by_key(|link| link.mtu);
    let mtu = match (mtu, smallest) {
        // The kernel takes IPv6 from a link below 1280, so this comes before a missing address.
        (PodsMtu::Uplink, Some(link)) if link.mtu < min => {
            return Err(Condition::SmallMtu {
                link: link.name.to_string(),
                mtu: link.mtu,
                min,
            });
        }
        (PodsMtu::Uplink, Some(link)) => Some(link.mtu.min(MTU_MAX)),
        (PodsMtu::Uplink, None) => None,
        (PodsMtu::Set(mtu), _) => Some(mtu),
        (PodsMtu::Tunnel(mtu), _) => mtu,
    };
    if let Some((address, _)) = carriers.iter().find(|(_, link)| link.is_none()) {
        return Err(Condition::NoUplink { address: *address });
    }
    let Some(mtu) = mtu.filter(|_| !carriers.is_empty()) else {
        return Ok(None);
    };
    let file = NodeFile::new(own.name.clone(), mode, own.ranges.clone(), mtu);
    file.map(Some).map_err(|error| Condition::Failing {
        text: error.to_string(),
    })
}
