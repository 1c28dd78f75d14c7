//! Reading and writing routes: the only part of this module that talks to the kernel.

use std::collections::BTreeSet;

use fairlead_cni_netlink::{
    Batch, Family, Netlink, NetlinkError, NextHop, Route, RouteFilter, RouteKey,
};
use fairlead_cni_node::owned::ROUTE_PROTOCOL;

use super::diff::Changes;
use super::{TABLE, is_ours};

/// Both families, as far as the kernel has them.
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// Our routes as they stand, filtered by the kernel.
pub fn actual(netlink: &mut Netlink) -> Result<Vec<Route>, NetlinkError> {
    let mut ours = Vec::new();
    for family in FAMILIES {
        let filter = RouteFilter {
            family,
            table: Some(TABLE),
            protocol: Some(ROUTE_PROTOCOL),
            link: None,
        };
        ours.extend(netlink.routes_where(filter)?.into_iter().filter(is_ours));
    }
    Ok(ours)
}

/// What became of the changes.
#[derive(Debug, Default)]
pub struct Applied {
    /// Routes written.
    pub written: usize,
    /// Routes that somebody else holds at a key of ours.
    pub taken: Vec<Route>,
    /// Other failures.
    pub errors: Vec<NetlinkError>,
}

/// Writes `changes`. `held` are the keys at which our routes stood before: what somebody put there
/// since is replaced, what was there before us is left and reported.
pub fn apply(
    netlink: &mut Netlink,
    changes: &Changes,
    held: &BTreeSet<RouteKey>,
) -> Result<Applied, NetlinkError> {
    let mut batch = Batch::new();
    let mut order = Vec::with_capacity(changes.len());
    for route in &changes.delete {
        batch.delete_route(route);
        order.push(route);
    }
    for route in &changes.replace {
        batch.replace_route(route);
        order.push(route);
    }
    for route in spread(&changes.add) {
        if held.contains(&route.key()) {
            batch.replace_route(route);
        } else {
            batch.add_route(route);
        }
        order.push(route);
    }
    let mut applied = Applied {
        written: changes.len(),
        ..Applied::default()
    };
    for failure in netlink.send_each(&batch)? {
        applied.written -= 1;
        if failure.error.is_exists() {
            applied
                .taken
                .extend(order.get(failure.index).map(|route| (*route).clone()));
        } else if !failure.error.is_not_found() {
            applied.errors.push(failure.error);
        }
    }
    Ok(applied)
}

/// Far ones after each other. In the order of their prefixes each route would go to the same edge of the
/// kernel's trie (`net/ipv4/fib_trie.c`), which splits and doubles the nodes along it time and again: twice the
/// time for thousands of routes.
fn spread<T>(routes: &[T]) -> Vec<&T> {
    let mut by_place: Vec<(usize, &T)> = routes.iter().enumerate().collect();
    by_place.sort_unstable_by_key(|(place, _)| place.reverse_bits());
    by_place.into_iter().map(|(_, route)| route).collect()
}

/// All nexthop objects as they stand; `None` on a kernel before 5.3, which has none.
pub fn next_hops(netlink: &mut Netlink) -> Result<Option<Vec<NextHop>>, NetlinkError> {
    match netlink.next_hops() {
        Ok(all) => Ok(Some(all)),
        Err(error) if error.is_unsupported() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes nexthop objects.
pub fn add_next_hops(netlink: &mut Netlink, add: &[NextHop]) -> Result<Applied, NetlinkError> {
    let mut batch = Batch::new();
    for hop in add {
        batch.add_next_hop(hop);
    }
    send(netlink, &batch)
}

/// Removes nexthop objects by their ids.
pub fn delete_next_hops(netlink: &mut Netlink, delete: &[u32]) -> Result<Applied, NetlinkError> {
    let mut batch = Batch::new();
    for id in delete {
        batch.delete_next_hop(*id);
    }
    send(netlink, &batch)
}

/// Sends what is independent of each other; what is gone already is no error.
fn send(netlink: &mut Netlink, batch: &Batch<'_>) -> Result<Applied, NetlinkError> {
    if batch.is_empty() {
        return Ok(Applied::default());
    }
    let failures = netlink.send_each(batch)?;
    let written = batch.len() - failures.len();
    let errors = failures.into_iter().map(|failure| failure.error);
    let errors = errors.filter(|error| !error.is_not_found()).collect();
    Ok(Applied {
        written,
        taken: Vec::new(),
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn spread_routes_are_all_there_and_far_apart() {
        let routes: Vec<usize> = (0..1000).collect();
        let mut spread: Vec<usize> = spread(&routes).into_iter().copied().collect();
        let near = |pair: &&[usize]| pair[0].abs_diff(pair[1]) < 100;
        assert_eq!(spread.windows(2).filter(near).count(), 0);
        spread.sort_unstable();
        assert_eq!(spread, routes);
    }
}
