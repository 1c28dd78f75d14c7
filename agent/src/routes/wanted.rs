//! Which routes should stand: a pure function of the view and of how the kernel reaches peers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairlead_cni_netlink::{LinkIndex, Route, RouteKey};
use fairlead_cni_node::owned::ROUTE_PROTOCOL;

use crate::cluster::{Member, View};
use crate::conditions::Condition;

/// How the kernel reaches an address: its own answer, which knows of on-link routes, policy rules
/// and point-to-point links that arithmetic on prefixes does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Without a gateway, on this link.
    Direct(LinkIndex),
    /// Through a gateway.
    Gateway(IpAddr),
    /// It is an address of this very host.
    Local,
    /// Not at all, in the kernel's words.
    Not(String),
}

/// The kernel's answers for the addresses of all peers.
pub type Reachable = BTreeMap<IpAddr, Reach>;

/// The routes that should stand, and what keeps others from standing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// By what the kernel tells routes apart by.
    pub routes: BTreeMap<RouteKey, Route>,
    /// Why ranges have no route.
    pub conditions: Vec<Condition>,
}

/// Metric of the routes that refuse packets to unused addresses of this node's own ranges: behind
/// every other route, so that a bridge with the same range wins.
pub const UNREACHABLE_METRIC: u32 = 0xfff0_0000;

/// The peer addresses whose reach [`wanted`] has to know.
pub fn asked(view: &View) -> impl Iterator<Item = IpAddr> + '_ {
    view.peers
        .iter()
        .filter(|peer| !peer.ranges.is_empty())
        .flat_map(|peer| peer.addresses.iter())
}

/// What should stand for `view`.
#[must_use]
pub fn wanted(view: &View, reachable: &Reachable) -> Wanted {
    let mut wanted = Wanted::default();
    for range in view.own.iter().flat_map(|own| own.ranges.iter().copied()) {
        let mut route = Route::unreachable(range);
        route.metric = UNREACHABLE_METRIC;
        wanted.insert(route);
    }
    for peer in &view.peers {
        for range in peer.ranges.iter().copied() {
            let Some(address) = peer.addresses.of_family(range) else {
                continue;
            };
            match reachable.get(&address) {
                Some(Reach::Direct(link)) => {
                    wanted.insert(Route::via(range, address, Some(*link)));
                }
                Some(other) => wanted.refuse(peer, address, other),
                None => {}
            }
        }
    }
    wanted
}

impl Wanted {
    fn insert(&mut self, mut route: Route) {
        route.protocol = ROUTE_PROTOCOL;
        self.routes.insert(route.key(), route);
    }

    fn refuse(&mut self, peer: &Member, address: IpAddr, reach: &Reach) {
        let node = peer.name.clone();
        let condition = match reach {
            Reach::Gateway(gateway) => Condition::OffSubnet {
                node,
                address,
                gateway: *gateway,
            },
            Reach::Not(reason) => Condition::Unreachable {
                node,
                address,
                reason: reason.clone(),
            },
            Reach::Local => Condition::Unreachable {
                node,
                address,
                reason: "it is an address of this node".to_owned(),
            },
            Reach::Direct(_) => return,
        };
        self.conditions.push(condition);
    }
}
