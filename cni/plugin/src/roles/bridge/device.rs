//! The bridge itself: found or made, with the gateway's addresses.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

use fairlead_cni_netlink::{
    Address, Bridge, Family, Link, LinkChange, LinkFlags, LinkIndex, LinkKind, LinkName, Mac,
    NetNs, Netlink, NewLink, Peer, Sysctl,
};

use super::conf::Conf;
use super::plan::Plan;
use super::vlan;
use crate::error::{PluginError, Result};
use crate::sysctls;

/// The bridge of this call.
#[derive(Debug)]
pub(super) struct Device {
    pub(super) index: LinkIndex,
    pub(super) mac: Mac,
    /// With `vlan` the gateway is not the bridge but a port in that VLAN.
    pub(super) vlan_gateway: Option<(LinkName, Mac)>,
}

/// Finds the bridge or makes it.
pub(super) fn ensure(host: &mut Netlink, conf: &Conf) -> Result<Device> {
    let link = match host.find_link(&conf.bridge)? {
        Some(link) => link,
        None => create(host, conf)?,
    };
    let LinkKind::Bridge(bridge) = &link.kind else {
        return Err(PluginError::NotABridge {
            name: conf.bridge.to_string(),
        });
    };
    if conf.vlan.filtering && bridge.vlan_filtering != Some(true) {
        let on = Bridge {
            vlan_filtering: Some(true),
            ..Bridge::default()
        };
        vlan::supported(conf, host.set_link(&LinkChange::of(link.index).bridge(on)))?;
    }
    if conf.promisc_mode && !link.flags.contains(LinkFlags::PROMISC) {
        host.set_link(&LinkChange::of(link.index).promisc(true))?;
    }
    if !link.is_up() {
        host.set_link(&LinkChange::of(link.index).up())?;
    }
    Ok(Device {
        index: link.index,
        mac: link.mac.unwrap_or_default(),
        vlan_gateway: None,
    })
}

/// Makes the bridge. It gets a hardware address at once: otherwise it takes that of its lowest port and
/// changes it when pods come and go.
fn create(host: &mut Netlink, conf: &Conf) -> Result<Link> {
    let options = Bridge {
        vlan_filtering: conf.vlan.filtering.then_some(true),
        ..Bridge::default()
    };
    let link = NewLink {
        mac: Some(random_mac()),
        mtu: conf.mtu,
        ..NewLink::bridge(conf.bridge.clone(), options)
    };
    match host.add_link(&link) {
        // Another ADD was faster.
        Err(error) if error.is_exists() => {}
        made if conf.vlan.filtering => vlan::supported(conf, made)?,
        made => made?,
    }
    // Before it is up, or a router's advertisement would give the host addresses and routes over its pods.
    sysctls::ensure(&vec![(
        Sysctl::interface(Family::V6, &conf.bridge, "accept_ra"),
        "0",
    )])?;
    Ok(host.link(&conf.bridge)?)
}

/// A locally administered address. The standard library's hasher keys are random and enough for that.
fn random_mac() -> Mac {
    let mut octets = [0; 6];
    octets.copy_from_slice(&RandomState::new().build_hasher().finish().to_be_bytes()[..6]);
    octets[0] = (octets[0] | 2) & !1;
    Mac(octets)
}

impl Device {
    /// Puts the gateway's addresses on the bridge, or on its port in the VLAN, and lets the host forward.
    pub(super) fn take_addresses(
        &mut self,
        conf: &Conf,
        plan: &Plan,
        host: &mut Netlink,
    ) -> Result<()> {
        let (holder, name) = match conf.vlan.access {
            None => (self.index, conf.bridge.clone()),
            Some(id) => self.vlan_port(conf, id, host)?,
        };
        let mut present = host.addresses_of(holder)?;
        for gateway in &plan.gateways {
            let address = Address::new(holder, *gateway).nodad();
            take_address(conf, &name, address, &mut present, host)?;
        }
        let forwarding = |family| match family {
            Family::V4 => (Sysctl::new("net/ipv4/ip_forward"), "1"),
            Family::V6 => (Sysctl::new("net/ipv6/conf/all/forwarding"), "1"),
        };
        sysctls::ensure(
            &Family::ALL
                .into_iter()
                .filter(|family| plan.has(*family))
                .map(forwarding)
                .collect(),
        )
    }

    /// The port `<bridge>.<vlan>` that holds the gateway of a VLAN, as the reference plugin names it.
    fn vlan_port(
        &mut self,
        conf: &Conf,
        id: u16,
        host: &mut Netlink,
    ) -> Result<(LinkIndex, LinkName)> {
        let name = LinkName::new(format!("{}.{id}", conf.bridge))?;
        let link = match host.find_link(&name)? {
            Some(link) => link,
            None => make_vlan_port(self.index, &name, conf, host)?,
        };
        self.vlan_gateway = Some((name.clone(), link.mac.unwrap_or_default()));
        Ok((link.index, name))
    }

    /// Reads the hardware address again: a bridge that somebody else made without one changes it with its
    /// ports.
    pub(super) fn refresh(&mut self, host: &mut Netlink) -> Result<()> {
        self.mac = host.link_by_index(self.index)?.mac.unwrap_or(self.mac);
        Ok(())
    }
}

fn make_vlan_port(
    bridge: LinkIndex,
    name: &LinkName,
    conf: &Conf,
    host: &mut Netlink,
) -> Result<Link> {
    // The pair's other end stays on the host and is the port.
    let own = NetNs::current()?;
    let [.., a, b, c, d] = random_mac().0;
    let port = LinkName::new(format!("flv{a:02x}{b:02x}{c:02x}{d:02x}"))?;
    let peer = Peer {
        name: name.clone(),
        netns: Some(std::os::fd::AsFd::as_fd(&own)),
        mac: None,
        mtu: conf.mtu,
    };
    let link = NewLink {
        master: Some(bridge),
        mtu: conf.mtu,
        up: true,
        ..NewLink::veth(port.clone(), peer)
    };
    match host.add_link(&link) {
        Err(error) if error.is_exists() => return Ok(host.link(name)?),
        made => made?,
    }
    let index = host.index_of(&port)?;
    vlan::assign(conf, index, &[], host)?;
    host.set_link(&LinkChange::of(name).up())?;
    Ok(host.link(name)?)
}

/// Adds one address unless it is there. Another address of the same network is in the way: it is removed
/// with `forceAddress` and an error otherwise. A bridge may have several IPv6 networks. There is no
/// duplicate address detection: pods would wait a second for their gateway.
fn take_address(
    conf: &Conf,
    name: &LinkName,
    address: Address,
    present: &mut Vec<Address>,
    host: &mut Netlink,
) -> Result<()> {
    let wanted = address.ip;
    if present.iter().any(|address| address.ip == wanted) {
        return Ok(());
    }
    for found in present
        .iter()
        .filter(|address| address.ip.is_ipv4() == wanted.is_ipv4())
    {
        let overlap = found.ip.contains(wanted.ip()) || wanted.contains(found.ip.ip());
        if !wanted.is_ipv4() && !overlap {
            continue;
        }
        if !conf.force_address {
            return Err(PluginError::BridgeAddress {
                bridge: name.to_string(),
                found: found.ip.to_string(),
                wanted: wanted.to_string(),
            });
        }
        match host.delete_address(found) {
            Err(error) if !error.is_not_found() => return Err(error.into()),
            _ => {}
        }
    }
    match host.add_address(&address) {
        // Another ADD was faster.
        Err(error) if !error.is_exists() => return Err(error.into()),
        _ => present.push(address),
    }
    Ok(())
}
