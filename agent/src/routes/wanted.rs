//! Which routes should stand: a pure function of the view and of how the kernel reaches peers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_cni_netlink::{Route, RouteKey};
use fairlead_cni_node::owned::ROUTE_PROTOCOL;
use ipnetwork::IpNetwork;

use super::reach::{Asker, Reach, Reachable};
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

/// Says what should stand, and hands out the same again for as long as nothing in it would be different.
#[derive(Debug, Default)]
pub struct Planner {
    last: Option<(Arc<View>, u64, Arc<Wanted>)>,
}

impl Planner {
    /// What is [`wanted`] for `view` by the answers of `reach`. `tunnel` is the same each time.
    pub fn plan(&mut self, view: &Arc<View>, reach: &Asker, tunnel: Option<Tunnel>) -> Arc<Wanted> {
        if let Some((seen, turns, wanted)) = &self.last
            && Arc::ptr_eq(seen, view)
            && *turns == reach.turns()
        {
            return Arc::clone(wanted);
        }
        let wanted = Arc::new(wanted(view, reach.answers(), tunnel));
        self.last = Some((Arc::clone(view), reach.turns(), Arc::clone(&wanted)));
        wanted
    }
}

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

#[cfg(test)]
mod tests {
    use fairlead_cni_netlink::LinkIndex;

    use super::super::reach::Way;
    use super::*;
    use crate::address::Addresses;

    fn range() -> IpNetwork {
        "10.244.1.0/24".parse().unwrap()
    }

    fn address() -> IpAddr {
        "192.0.2.2".parse().unwrap()
    }

    fn way(gateway: Option<&str>) -> Way {
        Way {
            link: LinkIndex(2),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            mtu: None,
        }
    }

    fn lost(before: Option<Way>) -> Reach {
        Reach::Not {
            reason: "Network is unreachable".to_owned(),
            before,
        }
    }

    /// What becomes of the range of a peer: `direct`, `tunnel`, or what is told.
    fn becomes(reach: Option<Reach>, tunnel: Option<Tunnel>) -> String {
        let peer = Member {
            name: "n1".to_owned(),
            addresses: Addresses::first_of(reach.is_some().then(address)),
            ranges: vec![range()],
        };
        let view = View {
            peers: vec![peer],
            ..View::default()
        };
        let reachable = reach.map(|reach| (address(), reach)).into_iter().collect();
        let wanted = wanted(&view, &reachable, tunnel);
        match (&wanted.conditions[..], wanted.routes.len()) {
            ([], 1) => "direct".to_owned(),
            ([], 0) if wanted.tunnelled == BTreeMap::from([(0, vec![range()])]) => {
                "tunnel".to_owned()
            }
            ([condition], 0) if wanted.tunnelled.is_empty() => condition.name().to_owned(),
            _ => format!("{wanted:?}"),
        }
    }

    #[test]
    fn who_is_behind_a_gateway_or_has_no_address_of_the_family_is_left_to_the_tunnel() {
        let cross = Some(Tunnel::CrossSubnet);
        let near = Reach::By(way(None));
        let far = Reach::By(way(Some("192.0.2.254")));
        assert_eq!(becomes(Some(near.clone()), None), "direct");
        assert_eq!(becomes(Some(near.clone()), cross), "direct");
        assert_eq!(becomes(Some(near), Some(Tunnel::Always)), "tunnel");
        assert_eq!(becomes(Some(far.clone()), None), "OffSubnet");
        assert_eq!(becomes(Some(far), cross), "tunnel");
        assert_eq!(becomes(None, cross), "tunnel");
    }

    #[test]
    fn who_cannot_be_reached_for_a_moment_stays_where_it_was() {
        let cross = Some(Tunnel::CrossSubnet);
        let far = way(Some("192.0.2.254"));
        assert_eq!(becomes(Some(lost(Some(way(None)))), cross), "Unreachable");
        assert_eq!(becomes(Some(lost(Some(far))), cross), "tunnel");
        assert_eq!(becomes(Some(lost(None)), cross), "tunnel");
        assert_eq!(becomes(Some(lost(None)), None), "Unreachable");
    }

    #[test]
    fn nobody_else_has_an_address_of_this_node() {
        for tunnel in [None, Some(Tunnel::CrossSubnet), Some(Tunnel::Always)] {
            assert_eq!(becomes(Some(Reach::Local), tunnel), "Unreachable");
        }
    }
}
