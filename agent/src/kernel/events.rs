//! Which of the kernel's messages call for a pass.
//!
//! Pods come and go all the time and touch nothing of the node's own state; neither do echoes of
//! the agent's own writes.

use std::net::IpAddr;

use fairlead_cni_netlink::{Event, Link, Route};
use fairlead_cni_node::owned::{
    HOST_LINK_HASH_DIGITS, HOST_LINK_PREFIX, NEXTHOP_IDS, ROUTE_PROTOCOL,
};

use crate::routes::{self, Keeper};

/// Whether `event` may have changed what is wanted or what stands.
#[must_use]
pub fn calls_for_a_pass(event: &Event, keeper: &Keeper) -> bool {
    match event {
        Event::LinkSet(link) | Event::LinkGone(link) => !is_pod_link(link),
        Event::AddressSet(address) | Event::AddressGone(address) => !is_link_local(address.ip.ip()),
        Event::RouteSet(route) if route.protocol == ROUTE_PROTOCOL => {
            routes::is_ours(route) && keeper.wanted(&route.key()) != Some(route)
        }
        Event::RouteGone(route) if route.protocol == ROUTE_PROTOCOL => {
            routes::is_ours(route) && keeper.wanted(&route.key()).is_some()
        }
        Event::RouteSet(route) | Event::RouteGone(route) => is_underlay(route),
        Event::NextHopSet(hop) | Event::NextHopGone(hop) => {
            keeper.uses_objects() && NEXTHOP_IDS.contains(&hop.id)
        }
        Event::RuleSet(_) | Event::RuleGone(_) | Event::Overrun => true,
        _ => false,
    }
}

/// The host end of a pod's pair.
fn is_pod_link(link: &Link) -> bool {
    let digits = link.name.as_str().strip_prefix(HOST_LINK_PREFIX);
    digits.is_some_and(|digits| {
        digits.len() == HOST_LINK_HASH_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

fn is_underlay(route: &Route) -> bool {
    let destination = route.destination.ip();
    route.table == routes::TABLE && !is_link_local(destination) && !destination.is_multicast()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
