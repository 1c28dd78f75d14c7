//! Several nodes on one network segment.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use fairlead_cni_netlink::{Address, Batch, Bridge, LinkChange, LinkIndex, LinkName, NewLink};
use ipnetwork::IpNetwork;

use crate::cable::connect;
use crate::namespace::Namespace;

/// A node: a namespace with `eth0` on the segment and its loopback up.
#[derive(Debug)]
pub struct Node {
    /// The namespace.
    pub ns: Namespace,
    /// `eth0` inside.
    pub link: LinkIndex,
    /// Its address in 192.0.2.0/24, from .1.
    pub v4: Ipv4Addr,
    /// Its address in `2001:db8::/64`, from `::1`.
    pub v6: Ipv6Addr,
}

/// Nodes on a bridge in a namespace of its own.
#[derive(Debug)]
pub struct Underlay {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The namespace of the bridge `underlay`; node `i` is on its port `n<i>`.
    pub switch: Namespace,
}

impl Underlay {
    /// Makes `count` nodes, at most 250, that reach each other over IPv4 and IPv6.
    pub fn new(count: u8) -> Result<Self> {
        let switch = Namespace::new("underlay")?;
        let name = LinkName::new("underlay")?;
        let options = Bridge {
            multicast_snooping: Some(false),
            ..Bridge::default()
        };
        let mut netlink = switch.netlink()?;
        netlink.add_link(&NewLink {
            up: true,
            ..NewLink::bridge(name.clone(), options)
        })?;
        let bridge = netlink.index_of(&name)?;
        let nodes = (0..count)
            .map(|number| node(&switch, bridge, number))
            .collect::<Result<_>>()?;
        Ok(Self { nodes, switch })
    }
}

fn node(switch: &Namespace, bridge: LinkIndex, number: u8) -> Result<Node> {
    let ns = Namespace::new(&format!("node{number}"))?;
    ns.loopback_up()?;
    let (port, link) = connect(switch, &format!("n{number}"), &ns, "eth0")?;
    switch
        .netlink()?
        .set_link(&LinkChange::of(port).master(Some(bridge)))?;
    let v4 = Ipv4Addr::new(192, 0, 2, number + 1);
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(number) + 1);
    let mut addresses = Batch::new();
    addresses.add_address(&Address::new(link, IpNetwork::new(v4.into(), 24)?));
    addresses.add_address(&Address::new(link, IpNetwork::new(v6.into(), 64)?).nodad());
    ns.netlink()?.send(&addresses)?;
    Ok(Node { ns, link, v4, v6 })
}
