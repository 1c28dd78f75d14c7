//! Which routes should stand: a pure function of the view and of how the kernel reaches peers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairlead_cni_netlink::{Route, RouteKey};
use fairlead_cni_node::owned::ROUTE_PROTOCOL;
use ipnetwork::IpNetwork;

use super::reach::{Reach, Reachable};
use crate::cluster::{Member, View};
use crate::conditions::Condition;
use crate::config::Tunnel;

/// The routes that should stand, and what keeps others from standing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// By what the kernel tells routes apart by.
    pub routes: BTreeMap<RouteKey, Route>,
    /// The ranges that are left to the tunnel, by their node's place among the peers.
    pub tunnelled: BTreeMap<usize, Vec<IpNetwork>>,
    /// Why ranges have no route.
    pub conditions: Vec<Condition>,
}

/// Metric of the routes that refuse packets to unused addresses of this node's own ranges: behind
/// every other route, so that a bridge with the same range wins.
pub const UNREACHABLE_METRIC: u32 = 0xfff0_0000;

/// What should stand for `view`; without a tunnel all ranges need a direct way.
#[must_use]
pub fn wanted(view: &View, reachable: &Reachable, tunnel: Option<Tunnel>) -> Wanted {
    let mut wanted = Wanted::default();
    for range in view.own.iter().flat_map(|own| own.ranges.iter().copied()) {
        let mut route = Route::unreachable(range);
        route.metric = UNREACHABLE_METRIC;
        wanted.insert(route);
    }
    for (at, peer) in view.peers.iter().enumerate() {
        for range in peer.ranges.iter().copied() {
            let address = peer.addresses.of_family(range);
            let reach = address.and_then(|address| reachable.get(&address));
            if tunnel.is_some_and(|tunnel| is_tunnelled(tunnel, reach)) {
                wanted.tunnelled.entry(at).or_default().push(range);
            } else if let Some((address, reach)) = address.zip(reach) {
                wanted.route(peer, range, address, reach);
            }
        }
    }
    wanted
}

/// Whether a range travels in the tunnel, by how its node's address of the range's family is reached. While
/// there is no way it stays where it was: a link that is down for a moment changes nothing.
fn is_tunnelled(tunnel: Tunnel, reach: Option<&Reach>) -> bool {
    match (tunnel, reach) {
        (_, Some(Reach::Local)) => false,
        (Tunnel::Always, _) => true,
        (Tunnel::CrossSubnet, reach) => reach
            .and_then(Reach::way)
            .is_none_or(|way| way.gateway.is_some()),
    }
}

impl Wanted {
    /// Adds a route of ours.
    pub fn insert(&mut self, mut route: Route) {
        route.protocol = ROUTE_PROTOCOL;
        self.routes.insert(route.key(), route);
    }

    fn route(&mut self, peer: &Member, range: IpNetwork, address: IpAddr, reach: &Reach) {
        let node = peer.name.clone();
        let condition = match reach {
            Reach::By(way) => match way.gateway {
                None => return self.insert(Route::via(range, address, Some(way.link))),
                Some(gateway) => Condition::OffSubnet {
                    node,
                    address,
                    gateway,
                },
            },
            Reach::Not { reason, .. } => Condition::Unreachable {
                node,
                address,
                reason: reason.clone(),
            },
            Reach::Local => Condition::Unreachable {
                node,
                address,
                reason: "it is an address of this node".to_owned(),
            },
        };
        self.conditions.push(condition);
    }
}
