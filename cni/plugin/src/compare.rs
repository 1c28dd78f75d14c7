//! Comparing a result with the kernel, for CHECK of every role that makes interfaces.

use fairlead_cni_netlink::{Family, Link, LinkName, Netlink, Path, Target};
use fairlead_cni_spec::{AddResult, Interface, Ip, Route};

use crate::error::{PluginError, Result};

/// The entry of the result for an interface in the container.
pub(crate) fn interface<'a>(
    result: &'a AddResult,
    name: &str,
    sandbox: &str,
) -> Result<&'a Interface> {
    let of_name = |i: &&Interface| i.name == name && i.sandbox.is_some();
    let Some(found) = result.interfaces.iter().find(of_name) else {
        let object = format!("interface {name}");
        return Err(PluginError::Missing {
            object,
            place: "in prevResult".to_owned(),
        });
    };
    if found.sandbox.as_deref() != Some(sandbox) {
        return Err(PluginError::Differs {
            object: format!("sandbox of interface {name} in prevResult"),
            found: found.sandbox.clone().unwrap_or_default(),
            wanted: sandbox.to_owned(),
        });
    }
    Ok(found)
}

/// The link of an entry; it must be up and have the entry's hardware address.
pub(crate) fn link(netlink: &mut Netlink, expected: &Interface, place: &str) -> Result<Link> {
    let name = LinkName::new(expected.name.as_str())?;
    let object = format!("interface {name}");
    let Some(link) = netlink.find_link(&name)? else {
        return Err(PluginError::Missing {
            object,
            place: place.to_owned(),
        });
    };
    let differs = |what: &str, found: String, wanted: String| {
        Err(PluginError::Differs {
            object: format!("{what}{object} {place}"),
            found,
            wanted,
        })
    };
    if !link.is_up() {
        return differs("", "down".to_owned(), "up".to_owned());
    }
    let mac = link.mac.map(|mac| mac.to_string()).unwrap_or_default();
    match &expected.mac {
        Some(wanted) if !wanted.eq_ignore_ascii_case(&mac) => {
            differs("the MAC of ", mac, wanted.clone())
        }
        _ => Ok(link),
    }
}

/// The addresses of a result that belong to an interface of the container; those that name none do.
pub(crate) fn ips_of<'a>(result: &'a AddResult, name: &str) -> impl Iterator<Item = &'a Ip> {
    let belongs = move |ip: &&Ip| {
        let Some(at) = ip.interface else { return true };
        let named = usize::try_from(at)
            .ok()
            .and_then(|at| result.interfaces.get(at));
        named.is_some_and(|interface| interface.name == name && interface.sandbox.is_some())
    };
    result.ips.iter().filter(belongs)
}

/// Fails unless the link has every address of the result.
pub(crate) fn addresses(
    netlink: &mut Netlink,
    link: &Link,
    result: &AddResult,
    place: &str,
) -> Result<()> {
    let actual = netlink.addresses_of(link.index)?;
    match ips_of(result, link.name.as_str()).find(|ip| !actual.iter().any(|a| a.ip == ip.address)) {
        None => Ok(()),
        Some(ip) => Err(PluginError::Missing {
            object: format!("address {} of interface {}", ip.address, link.name),
            place: place.to_owned(),
        }),
    }
}

/// Fails unless every route of the result is there: its destination, and its next hop when it names one.
pub(crate) fn routes(netlink: &mut Netlink, result: &AddResult, place: &str) -> Result<()> {
    let mut actual = Vec::new();
    for family in Family::ALL {
        if result
            .routes
            .iter()
            .any(|route| Family::of(route.dst.ip()) == family)
        {
            actual.extend(netlink.routes(family)?);
        }
    }
    let stands = |wanted: &Route| {
        actual.iter().any(|route| {
            let same_gw = |path: &Path| wanted.gw.is_none() || path.via == wanted.gw;
            let leads = matches!(&route.target, Target::Paths(paths) if paths.iter().any(same_gw));
            let dst = route.destination;
            let same_dst = (dst.ip(), dst.prefix()) == (wanted.dst.network(), wanted.dst.prefix());
            same_dst && leads && wanted.table.is_none_or(|table| table == route.table)
        })
    };
    match result.routes.iter().find(|route| !stands(route)) {
        None => Ok(()),
        Some(route) => {
            let via = route.gw.map(|gw| format!(" via {gw}")).unwrap_or_default();
            Err(PluginError::Missing {
                object: format!("route {}{via}", route.dst),
                place: place.to_owned(),
            })
        }
    }
}
