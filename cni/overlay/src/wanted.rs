//! What should stand: the entries of each of the kernel's tables that lead to the peers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnetwork::IpNetwork;

use crate::Mac;

/// This end of the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The node's name.
    pub name: String,
    /// Its device's hardware address.
    pub mac: Mac,
    /// Its device's addresses: they can be nobody's gateway.
    pub addresses: Vec<IpAddr>,
}

/// Another end of the tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The node's name.
    pub name: String,
    /// Its device's hardware address.
    pub mac: Mac,
    /// The address that outer packets to it are sent to.
    pub endpoint: IpAddr,
    /// The ranges behind it, in their order.
    pub ranges: Vec<IpNetwork>,
    /// The largest inner packet in bytes that fits its path, where that is less than the device's MTU.
    pub mtu: Option<u32>,
}

/// The way to one range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The id of the nexthop object.
    pub next_hop: u32,
    /// See [`Peer::mtu`].
    pub mtu: Option<u32>,
}

/// The ids of nexthop objects: which may be used, and what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Those that are ours to use.
    pub range: RangeInclusive<u32>,
    /// The gateways of objects of ours that are as we make them.
    pub kept: BTreeMap<u32, IpAddr>,
    /// The ids of all other objects.
    pub taken: BTreeSet<u32>,
}

impl Ids {
    /// Whether `next_hops` can stand: no id is another's, or leads elsewhere.
    #[must_use]
    pub fn allow(&self, next_hops: &BTreeMap<u32, IpAddr>) -> bool {
        let may = |(id, gateway): (&u32, &IpAddr)| {
            !self.taken.contains(id) && self.kept.get(id).is_none_or(|kept| kept == gateway)
        };
        self.taken.is_empty() && self.kept == *next_hops || next_hops.iter().all(may)
    }
}

/// Why a peer, or a part of it, cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Two nodes have the same hardware address; the second one is left out.
    Mac {
        /// The address.
        mac: Mac,
        /// Who keeps it.
        first: String,
        /// Who is left out.
        second: String,
    },
    /// The gateway to a peer's IPv4 ranges is another node's: their ranges begin with the same address.
    Gateway {
        /// The gateway.
        gateway: IpAddr,
        /// Who keeps it.
        first: String,
        /// Whose IPv4 ranges are left out.
        second: String,
    },
    /// There are more gateways than ids.
    Ids {
        /// Whose ranges are left out.
        node: String,
    },
}

/// The entries that should stand on the device, and its routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Where frames go.
    pub fdb: BTreeMap<Mac, IpAddr>,
    /// Whose gateways are.
    pub neighbours: BTreeMap<IpAddr, Mac>,
    /// The nexthop objects' gateways.
    pub next_hops: BTreeMap<u32, IpAddr>,
    /// The ways to pod ranges.
    pub routes: BTreeMap<IpNetwork, Way>,
    /// What keeps others from standing.
    pub faults: Vec<Fault>,
}

/// What should stand for `peers`, which are in the order of their names: the first keeps what two claim.
///
/// The gateway to a peer's IPv4 ranges is its device's address, the first address of its first range. To
/// its IPv6 ranges it is the link-local address made of its hardware address: the kernel takes a
/// global one as on-link only where no route through another link covers it (`ip6_route_check_nh_onlink`),
/// which just those ranges' direct routes do.
#[must_use]
pub fn wanted(own: &Own, peers: &[Peer], ids: &Ids) -> Wanted {
    let mut wanted = Wanted::default();
    let mut ids = Allocator::new(ids);
    for (place, peer) in peers.iter().enumerate() {
        if peer.ranges.is_empty() {
            continue;
        }
        let before = &peers[..place];
        if let Some(first) = wanted.holder_of_mac(own, before, peer.mac) {
            wanted.faults.push(Fault::Mac {
                mac: peer.mac,
                first,
                second: peer.name.clone(),
            });
            continue;
        }
        wanted.fdb.insert(peer.mac, peer.endpoint);
        for of_family in [
            IpNetwork::is_ipv4 as fn(&IpNetwork) -> bool,
            IpNetwork::is_ipv6,
        ] {
            let ranges = || peer.ranges.iter().filter(|range| of_family(range));
            let Some(first) = ranges().next() else {
                continue;
            };
            let gateway = gateway(peer, *first);
            if let Some(first) = wanted.holder_of_gateway(own, before, gateway) {
                wanted.faults.push(Fault::Gateway {
                    gateway,
                    first,
                    second: peer.name.clone(),
                });
                continue;
            }
            let Some(id) = ids.of(gateway) else {
                let node = peer.name.clone();
                wanted.faults.push(Fault::Ids { node });
                continue;
            };
            let way = Way {
                next_hop: id,
                mtu: peer.mtu,
            };
            wanted.neighbours.insert(gateway, peer.mac);
            wanted.next_hops.insert(id, gateway);
            wanted.routes.extend(ranges().map(|range| (*range, way)));
        }
    }
    wanted
}

impl Wanted {
    /// Which node has `mac` already: this one or one of the peers `before`.
    fn holder_of_mac(&self, own: &Own, before: &[Peer], mac: Mac) -> Option<String> {
        if mac == own.mac {
            return Some(own.name.clone());
        }
        self.fdb.get(&mac)?;
        let holder = |peer: &&Peer| peer.mac == mac && !peer.ranges.is_empty();
        before.iter().find(holder).map(|peer| peer.name.clone())
    }

    /// Whose gateway `gateway` is already.
    fn holder_of_gateway(&self, own: &Own, before: &[Peer], gateway: IpAddr) -> Option<String> {
        if own.addresses.contains(&gateway) {
            return Some(own.name.clone());
        }
        let mac = *self.neighbours.get(&gateway)?;
        self.holder_of_mac(own, before, mac)
    }
}

/// The gateway to those ranges of `peer` of which `first` is the first.
fn gateway(peer: &Peer, first: IpNetwork) -> IpAddr {
    match first {
        IpNetwork::V4(v4) => IpAddr::V4(v4.network()),
        IpNetwork::V6(_) => IpAddr::V6(peer.mac.link_local()),
    }
}

/// Gives ids to gateways: an object that stands keeps its id for as long as its gateway is wanted.
struct Allocator<'a> {
    kept: BTreeMap<IpAddr, u32>,
    ids: &'a Ids,
    next: RangeInclusive<u32>,
}

impl<'a> Allocator<'a> {
    fn new(ids: &'a Ids) -> Self {
        let in_range = ids.kept.iter().filter(|(id, _)| ids.range.contains(id));
        Self {
            kept: in_range
                .rev()
                .map(|(id, gateway)| (*gateway, *id))
                .collect(),
            ids,
            next: ids.range.clone(),
        }
    }

    fn of(&mut self, gateway: IpAddr) -> Option<u32> {
        let ids = self.ids;
        let free = |id: &u32| !ids.kept.contains_key(id) && !ids.taken.contains(id);
        let kept = self.kept.get(&gateway).copied();
        kept.or_else(|| self.next.find(free))
    }
}
