//! Nexthop objects in place of gateways, where there are many peers.
//!
//! The kernel hashes a plain route's gateway by its link only, so thousands of gateways on one link
//! cost the square of their number; objects do not. But at a loss of carrier the kernel drops
//! objects with their routes, and never restores them: few peers get plain routes, which come back
//! by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairlead_cni_netlink::{LinkIndex, NextHop, Route, RouteKey, Target};
use fairlead_cni_node::owned::{DIRECT_NEXTHOP_IDS, ROUTE_PROTOCOL};

/// Up to this many gateways of a family stand in plain routes.
pub const FEW: usize = 500;

/// Where objects stand already, they stay until there are no more than this many, so that a cluster
/// around [`FEW`] does not go back and forth.
const FEWER: usize = 400;

type Gateway = (IpAddr, LinkIndex);

/// What has to stand before and to go after the routes change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// To be made first.
    pub add: Vec<NextHop>,
    /// Ids to be removed last.
    pub delete: Vec<u32>,
    /// The objects in place of gateways; none where these stay.
    ids: BTreeMap<Gateway, u32>,
}

impl Plan {
    /// Whether gateways make place for objects.
    #[must_use]
    pub fn has_objects(&self) -> bool {
        !self.ids.is_empty()
    }

    /// Leads routes to the objects in place of their gateways.
    pub fn redirect(&self, routes: &mut BTreeMap<RouteKey, Route>) {
        for route in routes.values_mut() {
            if let Some(id) = gateway(route).and_then(|at| self.ids.get(&at)) {
                route.target = Target::NextHop(*id);
            }
        }
    }
}

/// Whether `next_hop` is one of those made here.
#[must_use]
pub fn is_ours(next_hop: &NextHop) -> bool {
    next_hop.protocol == ROUTE_PROTOCOL && DIRECT_NEXTHOP_IDS.contains(&next_hop.id)
}

/// Objects in place of the gateways of `routes` if there are many. `standing` are our objects as they
/// are; one that has the right gateway keeps its id.
#[must_use]
pub fn plan(routes: &BTreeMap<RouteKey, Route>, standing: &[NextHop]) -> Plan {
    let gateways: BTreeSet<Gateway> = routes.values().filter_map(gateway).collect();
    let of_v4 = gateways.iter().filter(|(via, _)| via.is_ipv4()).count();
    let limit = if standing.is_empty() { FEW } else { FEWER };
    if of_v4.max(gateways.len() - of_v4) <= limit {
        return Plan {
            delete: standing.iter().map(|hop| hop.id).collect(),
            ..Plan::default()
        };
    }
    let mut ids: BTreeMap<Gateway, u32> = BTreeMap::new();
    let mut delete = Vec::new();
    for hop in standing {
        match hop
            .via
            .zip(hop.link)
            .filter(|at| gateways.contains(at) && !ids.contains_key(at))
        {
            Some(at) => drop(ids.insert(at, hop.id)),
            None => delete.push(hop.id),
        }
    }
    let taken: BTreeSet<u32> = standing.iter().map(|hop| hop.id).collect();
    let mut free = DIRECT_NEXTHOP_IDS.filter(|id| !taken.contains(id));
    let mut add = Vec::new();
    for at in gateways {
        if ids.contains_key(&at) {
            continue;
        }
        let Some(id) = free.next() else { break };
        add.push(NextHop {
            protocol: ROUTE_PROTOCOL,
            ..NextHop::via(id, at.0, at.1)
        });
        ids.insert(at, id);
    }
    Plan { add, delete, ids }
}

/// The one gateway of a plain route.
fn gateway(route: &Route) -> Option<Gateway> {
    match &route.target {
        Target::Paths(paths) => match paths.as_slice() {
            [path] => path.via.zip(path.link),
            _ => None,
        },
        Target::NextHop(_) | Target::None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    /// As routes are planned and then written.
    fn plan(routes: &mut BTreeMap<RouteKey, Route>, standing: &[NextHop]) -> Plan {
        let plan = super::plan(routes, standing);
        plan.redirect(routes);
        plan
    }

    fn routes(gateways: impl IntoIterator<Item = u16>) -> BTreeMap<RouteKey, Route> {
        let route = |n: u16| {
            let [high, low] = n.to_be_bytes();
            let range = format!("10.{high}.{low}.0/24").parse().unwrap();
            let via = Ipv4Addr::new(198, 18, high, low);
            let mut route = Route::via(range, via.into(), Some(LinkIndex(2)));
            route.protocol = ROUTE_PROTOCOL;
            (route.key(), route)
        };
        gateways.into_iter().map(route).collect()
    }

    fn by_objects(routes: &BTreeMap<RouteKey, Route>) -> usize {
        routes
            .values()
            .filter(|route| matches!(route.target, Target::NextHop(_)))
            .count()
    }

    #[test]
    fn few_peers_have_plain_routes_and_many_have_objects() {
        let mut few = routes(0..500);
        assert_eq!(plan(&mut few, &[]), Plan::default());
        assert_eq!(by_objects(&few), 0);
        let mut many = routes(0..501);
        assert_eq!(plan(&mut many, &[]).add.len(), 501);
        assert_eq!(by_objects(&many), 501);
    }

    #[test]
    fn objects_stay_until_there_are_clearly_fewer_peers() {
        let standing = plan(&mut routes(0..501), &[]).add;
        let mut fewer = routes(0..401);
        assert_eq!(plan(&mut fewer, &standing).delete.len(), 100);
        assert_eq!(by_objects(&fewer), 401);
        let mut few = routes(0..400);
        assert_eq!(plan(&mut few, &standing).delete.len(), 501);
        assert_eq!(by_objects(&few), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn every_route_leads_to_an_object_with_its_gateway_and_nothing_is_made_twice(
            before in prop::collection::btree_set(0..2000u16, 501..700),
            after in prop::collection::btree_set(0..2000u16, 501..700),
        ) {
            let mut standing: BTreeMap<u32, NextHop> = BTreeMap::new();
            for gateways in [&before, &after] {
                let plain = routes(gateways.iter().copied());
                let mut wanted = plain.clone();
                let now: Vec<NextHop> = standing.values().cloned().collect();
                let plan = plan(&mut wanted, &now);
                for hop in plan.add {
                    prop_assert!(standing.insert(hop.id, hop).is_none());
                }
                for (key, route) in &wanted {
                    let Target::NextHop(id) = route.target else { panic!("{route}") };
                    prop_assert!(!plan.delete.contains(&id));
                    let hop = &standing[&id];
                    prop_assert_eq!(hop.via.zip(hop.link), gateway(&plain[key]));
                }
                standing.retain(|id, _| !plan.delete.contains(id));
                prop_assert_eq!(standing.len(), gateways.len());
                let now: Vec<NextHop> = standing.values().cloned().collect();
                let again = super::plan(&plain, &now);
                prop_assert!(again.add.is_empty() && again.delete.is_empty());
            }
        }
    }
}
