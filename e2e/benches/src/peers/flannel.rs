//! The state that flannel's VXLAN backend makes for its peers, as it makes it: a neighbour, a forwarding entry
//! and a gateway route each, every one a request of its own that waits for its acknowledgement
//! (`vxlan_network.go`).

use anyhow::Result;
use fairlead_cni_netlink::{Address, FdbEntry, LinkName, Mac, Neighbour, NewLink, Route, Vxlan};
use ipnetwork::IpNetwork;
use nix::sys::resource::UsageWho;

use super::{Done, Node, OWN, address, first, range};
use crate::sample::Watch;

/// Makes all of it in a fresh namespace. The device, which is one for all, does not count.
pub(super) fn program(peers: u16) -> Result<Done> {
    let node = Node::new()?;
    let mut netlink = node.ns.netlink()?;
    let name = LinkName::new("flannel.1")?;
    let options = Vxlan {
        local: Some(OWN.into()),
        port: Some(8472),
        learning: Some(false),
        ..Vxlan::new(1)
    };
    netlink.add_link(&NewLink {
        up: true,
        mtu: Some(1450),
        ..NewLink::vxlan(name.clone(), options)
    })?;
    let link = netlink.index_of(&name)?;
    netlink.add_address(&Address::new(
        link,
        IpNetwork::new(first(range(0, 0)?), 32)?,
    ))?;

    let watch = Watch::start(UsageWho::RUSAGE_THREAD)?;
    let mut written = 0;
    for peer in 1..=peers {
        let [high, low] = peer.to_be_bytes();
        let mac = Mac([2, 0, 0, 0, high, low]);
        let range = range(peer, 0)?;
        let gateway = first(range);
        netlink.replace_neighbour(&Neighbour::permanent(link, gateway, mac))?;
        netlink.replace_fdb(&FdbEntry::remote(link, mac, address(peer).into()))?;
        netlink.replace_route(&Route::via(range, gateway, Some(link)).onlink())?;
        written += 3;
    }
    let (wall, cpu) = watch.stop()?;
    Ok(Done { written, wall, cpu })
}
