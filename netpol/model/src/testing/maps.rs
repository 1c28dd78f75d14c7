//! The maps, read as `netpol/bpf/layout.h` says that the programs read them.

use std::net::{IpAddr, Ipv4Addr};

use ipnetwork::IpNetwork;

use crate::cluster::Protocol;
use crate::oracle::Traffic;
use crate::tables::{ClassId, IfIndex, Mask, PageKey, SETS_IN_A_ROW, Set, SetId, Tables};

/// A packet as the programs of one node see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The interface of the pod of this node that sends it.
    pub from: Option<IfIndex>,
    /// Its source.
    pub source: IpAddr,
    /// The interface of the pod of this node that gets it.
    pub to: Option<IfIndex>,
    /// Its destination.
    pub destination: IpAddr,
    /// Whether this node itself sends it.
    pub from_node: bool,
    /// What it is.
    pub traffic: Traffic,
}

/// Whether the programs let the first packet of a flow through.
#[must_use]
pub fn judge(tables: &Tables, ends: &Ends) -> bool {
    if ends.from.is_some() && ends.from == ends.to {
        return true;
    }
    let egress = ends.from.is_none_or(|index| {
        tables.endpoints.get(&index).is_some_and(|endpoint| {
            verdict(tables, endpoint.egress, ends.destination, ends.traffic)
        })
    });
    let ingress = ends.from_node
        || ends.to.is_none_or(|index| {
            tables.endpoints.get(&index).is_some_and(|endpoint| {
                verdict(tables, endpoint.ingress, ends.source, ends.traffic)
            })
        });
    egress && ingress
}

/// What one direction of an endpoint says about a peer.
#[must_use]
pub fn verdict(tables: &Tables, set: Option<Set>, peer: IpAddr, traffic: Traffic) -> bool {
    let class = tables.addresses.get(&peer).map(|address| address.class);
    let mut next = set;
    if next.is_none() {
        return true;
    }
    for _ in 0..SETS_IN_A_ROW {
        let Some(set) = next else {
            return false;
        };
        let allowed = set.any | of_peer(tables, &set, class, peer);
        if allowed >> port_class(tables, &set, traffic) & 1 == 1 {
            return true;
        }
        next = set.next.and_then(|id| tables.sets.get(&id).copied());
    }
    false
}

fn of_peer(tables: &Tables, set: &Set, class: Option<ClassId>, peer: IpAddr) -> Mask {
    match class {
        Some(class) if set.cells => tables.cells.get(&(set.id, class)).copied().unwrap_or(0),
        None if set.prefixes => longest(tables, set.id, peer),
        _ => 0,
    }
}

fn longest(tables: &Tables, set: SetId, peer: IpAddr) -> Mask {
    let first = IpNetwork::from(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let first = IpNetwork::new(first.ip(), 0).unwrap_or(first);
    let of_set = tables.prefixes.range((set, first)..);
    let of_set = of_set.take_while(|((of, _), _)| *of == set);
    let around = of_set.filter(|((_, prefix), _)| prefix.contains(peer));
    let longest = around.max_by_key(|((_, prefix), _)| prefix.prefix());
    longest.map_or(0, |(_, mask)| *mask)
}

fn port_class(tables: &Tables, set: &Set, traffic: Traffic) -> u8 {
    let Traffic::Port(protocol, port) = traffic else {
        return 0;
    };
    let [high, low] = port.to_be_bytes();
    let rest = match protocol {
        Protocol::Tcp => set.rest[0],
        Protocol::Udp => set.rest[1],
        Protocol::Sctp => set.rest[2],
    };
    let page = set.ports.and_then(|ports| {
        tables.pages.get(&PageKey {
            ports,
            protocol,
            high,
        })
    });
    page.map_or(rest, |page| page.0[usize::from(low)])
}
