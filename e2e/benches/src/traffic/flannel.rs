//! What flannel's VXLAN backend sets up on a node (`pkg/backend/vxlan/device.go`, `vxlan_network.go` and
//! `pkg/trafficmngr/nftables` of flannel 0.27), written by hand.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{Address, FdbEntry, LinkName, Mac, Neighbour, NewLink, Route, Vxlan};
use fairlead_e2e_lab::{Namespace, Node, Underlay};
use ipnetwork::IpNetwork;

use super::way::range;

/// The device's name.
pub(super) const DEVICE: &str = "flannel.1";

/// The default of its `VNI`.
const VNI: u32 = 1;
/// The kernel's own default, which it keeps.
const PORT: u16 = 8472;
/// Bytes that the tunnel adds to a packet.
const OVERHEAD: u32 = 50;

/// Connects two nodes by a tunnel.
pub(super) fn connect(underlay: &Underlay) -> Result<()> {
    let macs = underlay
        .nodes
        .iter()
        .zip(0..)
        .map(|(node, number)| device(node, number))
        .collect::<Result<Vec<_>>>()?;
    for (node, peer) in [(0, 1), (1, 0)] {
        let mut netlink = underlay.nodes[node].ns.netlink()?;
        let link = netlink.index_of(&LinkName::new(DEVICE)?)?;
        let gateway = IpAddr::from(subnet(peer));
        let endpoint = underlay.nodes[peer].v4.into();
        netlink.replace_neighbour(&Neighbour::permanent(link, gateway, macs[peer]))?;
        netlink.replace_fdb(&FdbEntry::remote(link, macs[peer], endpoint))?;
        let to: IpNetwork = range(peer).parse()?;
        netlink.replace_route(&Route::via(to, gateway, Some(link)).onlink())?;
    }
    Ok(())
}

/// The address of a node's device: the first of its range.
fn subnet(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 244, u8::try_from(number).unwrap_or(u8::MAX), 0)
}

fn device(node: &Node, number: usize) -> Result<Mac> {
    let mut netlink = node.ns.netlink()?;
    let name = LinkName::new(DEVICE)?;
    let options = Vxlan {
        local: Some(node.v4.into()),
        link: Some(node.link),
        port: Some(PORT),
        learning: Some(false),
        ..Vxlan::new(VNI)
    };
    let mtu = netlink.link_by_index(node.link)?.mtu - OVERHEAD;
    netlink.add_link(&NewLink {
        up: true,
        mtu: Some(mtu),
        ..NewLink::vxlan(name.clone(), options)
    })?;
    let link = netlink.link(&name)?;
    let address = IpNetwork::from(IpAddr::from(subnet(number)));
    netlink.add_address(&Address::new(link.index, address))?;
    link.mac.context("a device without address")
}

/// Its rules: nothing inside the cluster is masqueraded, what leaves it is, and forwarding is accepted.
pub(super) fn add_rules(ns: &Namespace) -> Result<()> {
    let script = "table ip flannel-ipv4 { \
        chain postrtg { type nat hook postrouting priority srcnat; \
          meta mark & 0x4000 == 0x4000 counter return; \
          ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 counter return; \
          ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 counter masquerade fully-random; \
          ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 counter masquerade fully-random; }; \
        chain forward { type filter hook forward priority filter; \
          ip saddr 10.244.0.0/16 counter accept; \
          ip daddr 10.244.0.0/16 counter accept; }; }";
    ns.output("nft", &[script])?;
    Ok(())
}
