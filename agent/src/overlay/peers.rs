//! Both ends of the tunnel, from the view.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairlead_cni_overlay::{Fault, Mac, Own};
use ipnetwork::IpNetwork;

use crate::address::Addresses;
use crate::cluster::{Member, View};
use crate::conditions::Condition;
use crate::config::{Underlay, Vxlan};
use crate::kernel::trouble::Trouble;
use crate::routes::reach::{Reach, Reachable, Way};

/// This end, and those that it leads to.
#[derive(Debug)]
pub struct Ends<'a> {
    own: &'a Member,
    /// The address that outer packets come from.
    pub local: IpAddr,
    /// The other ends, by name.
    pub others: Vec<End<'a>>,
}

/// Another end.
#[derive(Debug)]
pub struct End<'a> {
    /// The node's name.
    pub name: &'a str,
    /// The address that outer packets are sent to.
    pub endpoint: IpAddr,
    /// The way there, or the one that there was.
    pub way: Option<Way>,
    /// The ranges behind it.
    pub ranges: &'a [IpNetwork],
}

/// Whether the tunnel of `own` is over IPv4.
#[must_use]
pub const fn is_over_v4(config: &Vxlan, own: &Member) -> bool {
    match config.underlay {
        Underlay::Auto => own.addresses.v4.is_some(),
        Underlay::Ipv4 => true,
        Underlay::Ipv6 => false,
    }
}

impl<'a> Ends<'a> {
    /// The ends of the tunnel to those of the peers of `view` that have ranges in `tunnelled`, by place; none
    /// while this node has no address or no range.
    pub fn of(
        view: &'a View,
        reachable: &Reachable,
        config: &Vxlan,
        tunnelled: &'a BTreeMap<usize, Vec<IpNetwork>>,
        trouble: &mut Trouble,
    ) -> Option<Self> {
        let own = view.own.as_ref().filter(|own| !own.ranges.is_empty())?;
        let v4 = is_over_v4(config, own);
        let family = if v4 { "IPv4" } else { "IPv6" };
        let of_family = |addresses: Addresses| addresses.iter().find(|ip| ip.is_ipv4() == v4);
        let lacking = |node: &str| Condition::NoEndpoint {
            node: node.to_owned(),
            family,
            own: own.name.clone(),
        };
        let Some(local) = of_family(own.addresses) else {
            trouble.tell(lacking(&own.name));
            return None;
        };
        let mut others = Vec::with_capacity(tunnelled.len());
        for (at, ranges) in tunnelled {
            let Some(peer) = view.peers.get(*at) else {
                continue;
            };
            let Some(endpoint) = of_family(peer.addresses) else {
                trouble.tell(lacking(&peer.name));
                continue;
            };
            let unreachable = |reason: &str| Condition::Unreachable {
                node: peer.name.clone(),
                address: endpoint,
                reason: reason.to_owned(),
            };
            let reach = reachable.get(&endpoint);
            match reach {
                Some(Reach::Local) => {
                    trouble.tell(unreachable("it is an address of this node"));
                    continue;
                }
                // What leads there stays for when there is a way again.
                Some(Reach::Not { reason, .. }) => trouble.tell(unreachable(reason)),
                Some(Reach::By(_)) | None => {}
            }
            others.push(End {
                name: &peer.name,
                endpoint,
                way: reach.and_then(Reach::way).copied(),
                ranges,
            });
        }
        Some(Self { own, local, others })
    }

    /// This end in the overlay's terms.
    #[must_use]
    pub fn own(&self) -> Own {
        Own {
            name: self.own.name.clone(),
            mac: self.mac(),
            addresses: self.addresses().map(|address| address.ip()).collect(),
        }
    }

    /// The device's hardware address.
    #[must_use]
    pub fn mac(&self) -> Mac {
        Mac::of_node(&self.own.name)
    }

    /// The device's own addresses: the first of the node's first range of each family, which no pod gets.
    /// What the node itself sends through the tunnel comes from there, so that the answer comes back
    /// through it too.
    pub fn addresses(&self) -> impl Iterator<Item = IpNetwork> {
        let first = |v4: bool| {
            let range = self.own.ranges.iter().find(|range| range.is_ipv4() == v4)?;
            Some(IpNetwork::from(range.network()))
        };
        [first(true), first(false)].into_iter().flatten()
    }

    /// The source of what this node sends to `range`.
    #[must_use]
    pub fn source(&self, range: IpNetwork) -> Option<IpAddr> {
        let of_family = |address: &IpNetwork| address.is_ipv4() == range.is_ipv4();
        self.addresses().find(of_family).map(|address| address.ip())
    }

    /// Whether packets of pods may be IPv6, which needs 1280 bytes.
    #[must_use]
    pub fn carries_v6(&self) -> bool {
        self.own.ranges.iter().any(IpNetwork::is_ipv6)
    }
}

/// Tells why some peers are left out.
pub fn tell(faults: &[Fault], trouble: &mut Trouble) {
    for fault in faults {
        match fault {
            Fault::Mac { mac, first, second } => trouble.tell(Condition::MacClash {
                mac: mac.to_string(),
                first: first.clone(),
                second: second.clone(),
            }),
            // Ranges that begin with one address overlap, which the index over the nodes tells.
            Fault::Gateway { .. } => {}
            Fault::Ids { node } => trouble.tell(Condition::Failing {
                text: format!("no free id for a nexthop object to node {node}; remove objects of others in the range of 0x464c8000 to 0x464cffff"),
            }),
        }
    }
}
