//! Which of the kernel's messages call for a pass.
//!
//! Pods come and go all the time and touch nothing of the node's own state; neither do echoes of
//! the agent's own writes.

use std::net::IpAddr;

use fairlead_cni_netlink::{Event, Route};
use fairlead_cni_node::owned::{DIRECT_NEXTHOP_IDS, ROUTE_PROTOCOL, is_host_link};

use crate::routes::{self, Keeper};

/// `RT_TABLE_LOCAL`: follows from addresses, about which there are messages of their own.
const LOCAL: u32 = 255;

/// Whether `event` may have changed what is wanted or what stands.
#[must_use]
pub fn calls_for_a_pass(event: &Event, keeper: &Keeper) -> bool {
    match event {
        Event::LinkSet(link) | Event::LinkGone(link) => !is_host_link(link.name.as_str()),
        Event::AddressSet(address) | Event::AddressGone(address) => !is_link_local(address.ip.ip()),
        Event::RouteSet(route) if route.protocol == ROUTE_PROTOCOL => {
            routes::is_ours(route) && keeper.wanted(&route.key()) != Some(route)
        }
        Event::RouteGone(route) if route.protocol == ROUTE_PROTOCOL => {
            routes::is_ours(route) && keeper.wanted(&route.key()).is_some()
        }
        Event::RouteSet(route) | Event::RouteGone(route) => is_underlay(route),
        Event::NextHopSet(hop) | Event::NextHopGone(hop) => {
            keeper.uses_objects() && DIRECT_NEXTHOP_IDS.contains(&hop.id)
        }
        Event::RuleSet(_) | Event::RuleGone(_) | Event::Overrun => true,
        _ => false,
    }
}

fn is_underlay(route: &Route) -> bool {
    let destination = route.destination.ip();
    route.table != LOCAL && !is_link_local(destination) && !destination.is_multicast()
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
