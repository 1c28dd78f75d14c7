//! CHECK of a routed attachment: what the result and the plan behind it say against the kernel.

use fairlead_cni_netlink::{
    Family, Link, LinkName, Neighbour, Netlink, Route, RouteFilter, RouteLookup,
};
use fairlead_cni_node::owned::ROUTE_PROTOCOL;
use fairlead_cni_spec::{AddResult, Attachment, Interface};

use super::plan::{Plan, Side};
use crate::compare;
use crate::error::{PluginError, Result};
use crate::identity::Identity;
use crate::pod::Pod;

const ON_HOST: &str = "on the host";

/// Compares both ends of the pair with what ADD made. Routes inside are compared with the result only: a
/// plugin after this one may have changed them (spec section 2, "CHECK").
pub(super) fn check(
    id: &Identity<'_>,
    at: &Attachment,
    result: &AddResult,
    host: &mut Netlink,
    pod: &mut Pod,
) -> Result<()> {
    let ifname = LinkName::new(at.ifname.as_str())?;
    let place = pod.place();
    let expected = compare::interface(result, at.ifname.as_str(), &pod.sandbox())?;
    let inside = compare::link(&mut pod.netlink, expected, &place)?;
    compare::addresses(&mut pod.netlink, &inside, result, &place)?;
    compare::routes(&mut pod.netlink, result, &place)?;

    let named = Interface {
        name: id.host_link()?.to_string(),
        ..Interface::default()
    };
    let outside = compare::link(host, &named, ON_HOST)?;
    let plan = plan(id, ifname, &inside, &outside, result)?;
    neighbours(&mut pod.netlink, &plan.pod_side(inside.index), &place)?;
    let side = plan.host_side(outside.index);
    neighbours(host, &side, ON_HOST)?;
    host_routes(host, &side, &outside)
}

/// The plan as it would be for the ends that there are.
fn plan(
    id: &Identity<'_>,
    ifname: LinkName,
    inside: &Link,
    outside: &Link,
    result: &AddResult,
) -> Result<Plan> {
    let taken = AddResult {
        ips: compare::ips_of(result, inside.name.as_str())
            .cloned()
            .collect(),
        ..AddResult::default()
    };
    let mut plan = Plan::new(id, ifname, inside.mtu, inside.mac, &taken)?;
    plan.host_mac = outside.mac.unwrap_or(plan.host_mac);
    Ok(plan)
}

fn neighbours(netlink: &mut Netlink, side: &Side, place: &str) -> Result<()> {
    // One by one: a list of all grows with the pods of the node.
    for wanted in &side.neighbours {
        let object = || format!("the neighbour entry of {}", wanted.ip);
        let shown = |n: &Neighbour| {
            format!(
                "{} {:?}",
                n.mac
                    .map_or_else(|| "unknown".into(), |mac| mac.to_string()),
                n.state
            )
        };
        match netlink.neighbour(wanted.link, wanted.ip)? {
            None => {
                return Err(PluginError::Missing {
                    object: object(),
                    place: place.to_owned(),
                });
            }
            Some(found) if (found.mac, found.state) != (wanted.mac, wanted.state) => {
                return Err(PluginError::Differs {
                    object: format!("{} {place}", object()),
                    found: shown(&found),
                    wanted: shown(wanted),
                });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn host_routes(host: &mut Netlink, side: &Side, outside: &Link) -> Result<()> {
    for route in &side.routes {
        if !stands(host, route, outside)? {
            return Err(PluginError::Missing {
                object: format!("the route to {} over {}", route.destination, outside.name),
                place: ON_HOST.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether a route is there. The kernel finds it at once, unless a rule of somebody else leads past it: the
/// list tells then, which grows with the pods of the node.
fn stands(host: &mut Netlink, route: &Route, outside: &Link) -> Result<bool> {
    let to = route.destination.ip();
    let entry = RouteLookup {
        entry: true,
        ..RouteLookup::to(to)
    };
    if host.lookup(&entry).is_ok_and(|found| found == *route) {
        return Ok(true);
    }
    let ours = RouteFilter {
        protocol: Some(ROUTE_PROTOCOL),
        link: Some(outside.index),
        ..RouteFilter::all(Family::of(to))
    };
    Ok(host.routes_where(ours)?.contains(route))
}
