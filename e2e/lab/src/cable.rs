//! Cables between namespaces.

use std::net::IpAddr;

use anyhow::Result;
use fairlead_cni_netlink::{Address, AddressFlags, LinkChange, LinkIndex, LinkName, NewLink, Peer};

use crate::namespace::Namespace;
use crate::wait::{LIMIT, wait_until};

/// Connects `a` and `b` by a veth pair with the given names, both ends up and running, without addresses.
pub fn connect(
    a: &Namespace,
    a_name: &str,
    b: &Namespace,
    b_name: &str,
) -> Result<(LinkIndex, LinkIndex)> {
    let (a_name, b_name) = (LinkName::new(a_name)?, LinkName::new(b_name)?);
    let peer = Peer {
        name: b_name.clone(),
        netns: Some(b.fd()),
        mac: None,
        mtu: None,
    };
    let (mut in_a, mut in_b) = (a.netlink()?, b.netlink()?);
    in_a.add_link(&NewLink {
        up: true,
        ..NewLink::veth(a_name.clone(), peer)
    })?;
    in_b.set_link(&LinkChange::of(&b_name).up())?;
    let ends = (in_a.index_of(&a_name)?, in_b.index_of(&b_name)?);
    // Until the kernel has noticed the carrier, on a work queue, packets are dropped.
    wait_until(LIMIT, "the cable carries packets", || {
        Ok(in_a.link_by_index(ends.0)?.is_running() && in_b.link_by_index(ends.1)?.is_running())
    })?;
    Ok(ends)
}

/// Waits until a link has its link-local address, which the kernel gives on a work queue, makes sure of for
/// a second or two, and needs to solicit a neighbour for a packet that it forwards.
pub fn wait_settled(ns: &Namespace, link: &str) -> Result<()> {
    let mut netlink = ns.netlink()?;
    let index = netlink.index_of(&LinkName::new(link)?)?;
    wait_until(LIMIT, &format!("{link} has its link-local address"), || {
        let addresses = netlink.addresses_of(index)?;
        Ok(addresses.iter().any(is_settled_link_local))
    })
}

fn is_settled_link_local(address: &Address) -> bool {
    matches!(address.ip.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local())
        && !address.flags.contains(AddressFlags::TENTATIVE)
}
