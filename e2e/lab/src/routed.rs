//! Nodes in several subnets with a router between them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{
    Address, Batch, Bridge, Family, LinkChange, LinkIndex, LinkName, NewLink, Route, Sysctl,
};
use ipnetwork::IpNetwork;

use crate::cable::{connect, wait_settled};
use crate::namespace::Namespace;

/// Whether new links look for duplicates of their addresses. Until that is done, for one or two seconds, a
/// router does not solicit neighbours for what it forwards.
const DAD: &str = "net/ipv6/conf/default/accept_dad";

/// The router's host part in every subnet.
const ROUTER: u8 = 254;

/// Which addresses a network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Dual,
}

impl Families {
    /// Whether it has addresses of `family`.
    #[must_use]
    pub fn has(self, family: Family) -> bool {
        match self {
            Self::V4 => family == Family::V4,
            Self::V6 => family == Family::V6,
            Self::Dual => true,
        }
    }
}

/// What one subnet is to be.
#[derive(Debug, Clone, Copy)]
pub struct Subnet {
    /// How many nodes are in it, at most 250 in all.
    pub nodes: u8,
    /// The largest packet of its links in bytes.
    pub mtu: u32,
}

/// A node behind the router: a namespace with `eth0`, its loopback up, and a default route.
#[derive(Debug)]
pub struct Host {
    /// The namespace.
    pub ns: Namespace,
    /// `eth0` inside.
    pub link: LinkIndex,
    /// The number of its subnet.
    pub subnet: u8,
    /// Its IPv4 address: `198.18.<subnet>.<number + 1>`, a /24.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address: `2001:db8:<subnet>::<number + 1>`, a /64.
    pub v6: Option<Ipv6Addr>,
}

impl Host {
    /// Its addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let v4 = self.v4.map(IpAddr::from);
        v4.into_iter().chain(self.v6.map(IpAddr::from)).collect()
    }

    /// Its address of a family.
    pub fn ip(&self, family: Family) -> Result<IpAddr> {
        let ip = match family {
            Family::V4 => self.v4.map(IpAddr::from),
            Family::V6 => self.v6.map(IpAddr::from),
        };
        ip.with_context(|| format!("the node has no {family} address"))
    }
}

/// Subnets around a router.
#[derive(Debug)]
pub struct Routed {
    /// The nodes, those of the first subnet first.
    pub nodes: Vec<Host>,
    /// The router: subnet `s` is its bridge `sub<s>`, node `i` is on the port `n<i>` of that.
    pub router: Namespace,
    families: Families,
}

impl Routed {
    /// Makes the subnets; every node reaches every other over each of `families`.
    pub fn new(families: Families, subnets: &[Subnet]) -> Result<Self> {
        let router = Namespace::new("router")?;
        router.run(|| {
            for (key, value) in [
                ("net/ipv4/ip_forward", "1"),
                ("net/ipv6/conf/all/forwarding", "1"),
                ("net/ipv4/conf/all/rp_filter", "0"),
                ("net/ipv4/conf/default/rp_filter", "0"),
                (DAD, "0"),
            ] {
                Sysctl::new(key).write(value)?;
            }
            anyhow::Ok(())
        })??;
        let mut network = Self {
            nodes: Vec::new(),
            router,
            families,
        };
        for (subnet, number) in subnets.iter().zip(0..) {
            network.add_subnet(number, subnet.mtu)?;
            for _ in 0..subnet.nodes {
                network.make_node(number, subnet.mtu)?;
            }
            network.open(number)?;
        }
        for (node, number) in network.nodes.iter().zip(0_u8..) {
            network.wait_settled(&node.ns, "eth0")?;
            network.wait_settled(&network.router, &format!("n{number}"))?;
        }
        for number in 0..u8::try_from(subnets.len())? {
            network.wait_settled(&network.router, bridge(number)?.as_str())?;
        }
        Ok(network)
    }

    fn add_subnet(&self, subnet: u8, mtu: u32) -> Result<()> {
        let name = bridge(subnet)?;
        let options = Bridge {
            multicast_snooping: Some(false),
            ..Bridge::default()
        };
        Ok(self.router.netlink()?.add_link(&NewLink {
            mtu: Some(mtu),
            ..NewLink::bridge(name, options)
        })?)
    }

    /// Sets a subnet's bridge up. With a port it has a carrier at once; it notices its first one, and works
    /// for IPv6, only a second later when it is up before.
    fn open(&self, subnet: u8) -> Result<()> {
        let name = bridge(subnet)?;
        let mut netlink = self.router.netlink()?;
        netlink.set_link(&LinkChange::of(&name).up())?;
        let link = netlink.index_of(&name)?;
        self.give(&self.router, link, subnet, ROUTER)
    }

    /// Adds one more node to a subnet and returns its number.
    pub fn add_node(&mut self, subnet: u8, mtu: u32) -> Result<usize> {
        let number = self.make_node(subnet, mtu)?;
        self.wait_settled(&self.nodes[number].ns, "eth0")?;
        self.wait_settled(&self.router, &format!("n{number}"))?;
        Ok(number)
    }

    fn make_node(&mut self, subnet: u8, mtu: u32) -> Result<usize> {
        let number = self.nodes.len();
        let place = u8::try_from(number + 1)?;
        let ns = Namespace::new(&format!("node{number}"))?;
        ns.loopback_up()?;
        // The uplink is ready, as that of a node that has been up for long; later links are as usual.
        let usual = ns.run(|| {
            Sysctl::new(DAD)
                .read()
                .and_then(|usual| Sysctl::new(DAD).write("0").map(|()| usual))
        })??;
        let (port, link) = connect(&self.router, &format!("n{number}"), &ns, "eth0")?;
        ns.run(|| Sysctl::new(DAD).write(&usual))??;
        let mut router = self.router.netlink()?;
        let bridge = router.index_of(&bridge(subnet)?)?;
        router.set_link(&LinkChange::of(port).mtu(mtu).master(Some(bridge)))?;
        let mut netlink = ns.netlink()?;
        netlink.set_link(&LinkChange::of(link).mtu(mtu))?;
        self.give(&ns, link, subnet, place)?;
        for family in Family::ALL {
            if self.families.has(family) {
                let any = if family == Family::V4 {
                    "0.0.0.0/0"
                } else {
                    "::/0"
                };
                let gateway = address(family, subnet, ROUTER);
                netlink.add_route(&Route::via(any.parse()?, gateway, Some(link)))?;
            }
        }
        self.nodes.push(Host {
            ns,
            link,
            subnet,
            v4: self.families.has(Family::V4).then(|| v4(subnet, place)),
            v6: self.families.has(Family::V6).then(|| v6(subnet, place)),
        });
        Ok(number)
    }

    fn wait_settled(&self, ns: &Namespace, link: &str) -> Result<()> {
        if self.families.has(Family::V6) {
            wait_settled(ns, link)?;
        }
        Ok(())
    }

    fn give(&self, ns: &Namespace, link: LinkIndex, subnet: u8, place: u8) -> Result<()> {
        let mut addresses = Batch::new();
        for (family, length) in [(Family::V4, 24), (Family::V6, 64)] {
            if self.families.has(family) {
                let ip = IpNetwork::new(address(family, subnet, place), length)?;
                addresses.add_address(&Address::new(link, ip).nodad());
            }
        }
        Ok(ns.netlink()?.send(&addresses)?)
    }

    /// Sets the MTU of a subnet: of its bridge, of every port and of `eth0` of every node in it.
    pub fn set_mtu(&self, subnet: u8, mtu: u32) -> Result<()> {
        let mut router = self.router.netlink()?;
        for (node, number) in self.nodes.iter().zip(0..) {
            if node.subnet == subnet {
                let port = LinkName::new(format!("n{number}"))?;
                router.set_link(&LinkChange::of(port).mtu(mtu))?;
                node.ns
                    .netlink()?
                    .set_link(&LinkChange::of(node.link).mtu(mtu))?;
            }
        }
        Ok(router.set_link(&LinkChange::of(bridge(subnet)?).mtu(mtu))?)
    }

    /// Makes the way into a subnet narrower than its links, as a router further on does: only packets of
    /// at most `mtu` bytes pass unfragmented.
    pub fn narrow(&self, subnet: u8, mtu: u32) -> Result<()> {
        let mut netlink = self.router.netlink()?;
        let link = netlink.index_of(&bridge(subnet)?)?;
        for (family, length) in [(Family::V4, 24), (Family::V6, 64)] {
            if self.families.has(family) {
                let network = IpNetwork::new(address(family, subnet, 0), length)?;
                let mut route = Route::on_link(network, link);
                route.mtu = Some(mtu);
                // Before the route that came with the address.
                route.metric = u32::from(family == Family::V6);
                netlink.replace_route(&route)?;
            }
        }
        Ok(())
    }
}

/// The router's bridge in a subnet.
fn bridge(subnet: u8) -> Result<LinkName> {
    Ok(LinkName::new(format!("sub{subnet}"))?)
}

fn address(family: Family, subnet: u8, place: u8) -> IpAddr {
    match family {
        Family::V4 => v4(subnet, place).into(),
        Family::V6 => v6(subnet, place).into(),
    }
}

fn v4(subnet: u8, place: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, subnet, place)
}

fn v6(subnet: u8, place: u8) -> Ipv6Addr {
    Ipv6Addr::new(0x2001, 0xdb8, subnet.into(), 0, 0, 0, 0, place.into())
}
