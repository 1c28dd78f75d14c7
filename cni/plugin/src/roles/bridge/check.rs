//! CHECK of a bridged attachment.

use fairlead_cni_netlink::{Link, LinkFlags, LinkKind, LinkName, Netlink};
use fairlead_cni_spec::{AddResult, Attachment, Interface};

use super::conf::Conf;
use super::masquerade;
use super::plan::Plan;
use crate::compare;
use crate::error::{PluginError, Result};
use crate::identity::Identity;
use crate::ingress::Judged;
use crate::pod::Pod;

const ON_HOST: &str = "on the host";

/// Compares bridge, port and container with the result of ADD and the configuration; the port's name.
pub(super) fn check(
    conf: &Conf,
    guarded: bool,
    id: &Identity<'_>,
    at: &Attachment,
    result: &AddResult,
    pod: &mut Pod,
) -> Result<Option<LinkName>> {
    let mut host = Netlink::open()?;
    let bridge = bridge(conf, result, &mut host)?;
    if conf.disable_container_interface {
        return Ok(None);
    }
    let place = pod.place();
    let expected = compare::interface(result, at.ifname.as_str(), &pod.sandbox())?;
    let inside = compare::link(&mut pod.netlink, expected, &place)?;
    compare::addresses(&mut pod.netlink, &inside, result, &place)?;
    compare::routes(&mut pod.netlink, result, &place)?;
    let port = port(conf, result, &bridge, &inside, &mut host)?;
    if conf.is_gateway && conf.vlan.access.is_none() {
        let wanted = Plan::new(conf, result).gateways;
        let present = host.addresses_of(bridge.index)?;
        if let Some(lost) = wanted
            .iter()
            .find(|wanted| !present.iter().any(|a| a.ip == **wanted))
        {
            let object = format!("address {lost} of bridge {}", bridge.name);
            return Err(PluginError::Missing {
                object,
                place: ON_HOST.to_owned(),
            });
        }
    }
    if conf.ip_masq {
        masquerade::check(&result.ips, &id.label())?;
    }
    let judged = Judged {
        mac: conf.mac_spoof_check.then(|| inside.mac.unwrap_or_default()),
        guarded,
    };
    judged.check(&port.name)?;
    Ok(Some(port.name))
}

fn bridge(conf: &Conf, result: &AddResult, host: &mut Netlink) -> Result<Link> {
    let listed = result
        .interfaces
        .iter()
        .find(|i| i.name == conf.bridge.as_str() && i.sandbox.is_none());
    let named = Interface {
        name: conf.bridge.to_string(),
        ..Interface::default()
    };
    let bridge = compare::link(host, listed.unwrap_or(&named), ON_HOST)?;
    if !matches!(bridge.kind, LinkKind::Bridge(_)) {
        return Err(PluginError::NotABridge {
            name: conf.bridge.to_string(),
        });
    }
    let promisc = bridge.flags.contains(LinkFlags::PROMISC);
    same(
        format!("promiscuous mode of bridge {}", bridge.name),
        promisc,
        conf.promisc_mode,
    )?;
    Ok(bridge)
}

/// The host end, found by what the container's end is connected to: a pair of the reference plugin has
/// another name.
fn port(
    conf: &Conf,
    result: &AddResult,
    bridge: &Link,
    inside: &Link,
    host: &mut Netlink,
) -> Result<Link> {
    let missing = || PluginError::Missing {
        object: format!("the host end of interface {}", inside.name),
        place: ON_HOST.to_owned(),
    };
    let port = host
        .link_by_index(inside.peer.ok_or_else(missing)?)
        .map_err(|_| missing())?;
    let listed = result
        .interfaces
        .iter()
        .find(|i| i.name == port.name.as_str() && i.sandbox.is_none());
    let port = compare::link(host, listed.ok_or_else(missing)?, ON_HOST)?;
    if port.master != Some(bridge.index) {
        return Err(PluginError::Differs {
            object: format!("interface {}", port.name),
            found: "not a port of it".to_owned(),
            wanted: format!("a port of bridge {}", bridge.name),
        });
    }
    let options = port.port.unwrap_or_default();
    same(
        format!("hairpin mode of interface {}", port.name),
        options.hairpin,
        conf.hairpin_mode,
    )?;
    same(
        format!("isolation of interface {}", port.name),
        options.isolated,
        conf.port_isolation,
    )?;
    Ok(port)
}

fn same(object: String, found: bool, wanted: bool) -> Result<()> {
    let shown = |on: bool| if on { "on" } else { "off" }.to_owned();
    if found == wanted {
        return Ok(());
    }
    Err(PluginError::Differs {
        object,
        found: shown(found),
        wanted: shown(wanted),
    })
}
