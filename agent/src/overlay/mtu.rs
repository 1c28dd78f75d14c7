//! How large packets may be: on the device, to each peer, and in pods.

use std::collections::{BTreeMap, BTreeSet};

use fairlead_cni_netlink::{Link, LinkIndex, Route};
use fairlead_cni_node::node_file::{MTU_MAX, MTU_MIN, MTU_MIN_V6};
use fairlead_cni_overlay::{Mac, Peer, mtu};

use super::peers::{End, Ends};
use crate::conditions::Condition;
use crate::kernel::facts::Facts;
use crate::kernel::trouble::Trouble;
use crate::routes::wanted::Wanted as Routes;

/// The largest packets that pass without being cut up, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// On the device: what passes by the widest path.
    pub device: u32,
    /// In pods: what passes by every path, of the direct ones too.
    pub pods: u32,
    /// To each of the other ends; `None` where the way is not known yet.
    ends: Vec<Option<u32>>,
}

impl Paths {
    /// Measures the paths to `ends`, and those by which `routes` lead directly. Without any, the link that
    /// carries this node's address says what fits. `None` while nothing does.
    pub fn of(
        ends: &Ends<'_>,
        facts: &Facts,
        routes: &Routes,
        trouble: &mut Trouble,
    ) -> Option<Self> {
        let least = if ends.carries_v6() {
            MTU_MIN_V6
        } else {
            MTU_MIN
        };
        let mut fitting = |link: &Link, outer: u32| {
            let inner = mtu::inner(outer, ends.local).min(MTU_MAX);
            if inner < least {
                trouble.tell(Condition::SmallMtu {
                    link: link.name.to_string(),
                    mtu: outer,
                    min: least + mtu::overhead(ends.local),
                });
            }
            inner.max(least)
        };
        let links: BTreeMap<LinkIndex, &Link> =
            facts.links.iter().map(|link| (link.index, link)).collect();
        let mut path = |end: &End<'_>| {
            let way = end.way?;
            let link = links.get(&way.link)?;
            let outer = way.mtu.map_or(link.mtu, |mtu| mtu.min(link.mtu));
            Some(fitting(link, outer))
        };
        let ends_mtu: Vec<Option<u32>> = ends.others.iter().map(&mut path).collect();
        let known = || ends_mtu.iter().flatten().copied();
        let uplink = match known().next() {
            Some(_) => None,
            None => facts
                .carrier(ends.local)
                .map(|link| fitting(link, link.mtu)),
        };
        let direct: BTreeSet<LinkIndex> = routes.routes.values().filter_map(Route::link).collect();
        let direct = direct.iter().filter_map(|link| links.get(link));
        let tunnelled = || known().chain(uplink);
        Some(Self {
            device: tunnelled().max()?,
            pods: tunnelled().chain(direct.map(|link| link.mtu)).min()?,
            ends: ends_mtu,
        })
    }

    /// The other ends in the overlay's terms.
    #[must_use]
    pub fn peers(&self, ends: &Ends<'_>) -> Vec<Peer> {
        let peer = |(end, mtu): (&End<'_>, &Option<u32>)| Peer {
            name: end.name.to_owned(),
            mac: Mac::of_node(end.name),
            endpoint: end.endpoint,
            ranges: end.ranges.to_vec(),
            mtu: mtu.filter(|mtu| *mtu < self.device),
        };
        ends.others.iter().zip(&self.ends).map(peer).collect()
    }
}
