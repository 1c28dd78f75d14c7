//! The index over the cluster's nodes: who is where, which ranges are whose, and what contradicts.
//!
//! Pure: nodes go in, a [`View`] comes out. It is computed anew from all nodes whenever one of them is
//! another, so there is nothing in it that could be stale.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use fairlead_kubeapi::Node;
use ipnetwork::IpNetwork;

use crate::address::{Addresses, LocalAddress};
use crate::conditions::Condition;
use crate::config::AddressSource;

/// The cluster's nodes by name.
pub type Nodes = BTreeMap<String, Node>;

/// A node with the ranges that are routed to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub addresses: Addresses,
    /// Its pod ranges, in their order. For a peer: without those that another node holds already.
    pub ranges: Vec<IpNetwork>,
}

/// The cluster as one of its nodes sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// This node; `None` while the cluster does not know it.
    pub own: Option<Member>,
    /// All other nodes, by name.
    pub peers: Vec<Member>,
    /// The pod ranges of all nodes, in order, each once.
    pub all_ranges: BTreeSet<IpNetwork>,
    /// Whether this node's `NetworkUnavailable` condition is as it should be.
    pub network_available: bool,
    /// What this node's annotation tells the others about its addresses.
    pub told: Option<String>,
    /// What contradicts.
    pub conditions: Vec<Condition>,
}

/// Makes views, and hands out the last one again for as long as nothing in it would be different.
#[derive(Debug, Default)]
pub struct Viewer {
    /// What the last view was made of.
    seen: Option<(Arc<Nodes>, Vec<LocalAddress>)>,
    last: Arc<View>,
}

impl Viewer {
    /// The [`view`] of these; the same one as before unless it differs.
    pub fn view(
        &mut self,
        nodes: &Arc<Nodes>,
        own: &str,
        source: &AddressSource,
        local: &[LocalAddress],
    ) -> Arc<View> {
        // They come and go with pods, and matter only where they say who this node is.
        let local = if source.is_local() { local } else { &[] };
        let same = |(seen, addresses): &(Arc<Nodes>, Vec<LocalAddress>)| {
            Arc::ptr_eq(seen, nodes) && addresses == local
        };
        if !self.seen.as_ref().is_some_and(same) {
            let now = view(nodes, own, source, local);
            if now != *self.last {
                self.last = Arc::new(now);
            }
            self.seen = Some((Arc::clone(nodes), local.to_vec()));
        }
        Arc::clone(&self.last)
    }
}

/// Makes the view of the node called `own` over `nodes`; `local` are that node's addresses.
#[must_use]
pub fn view(nodes: &Nodes, own: &str, source: &AddressSource, local: &[LocalAddress]) -> View {
    let mut conditions = Vec::new();
    let mut members: Vec<Member> = nodes
        .values()
        .map(|node| {
            let told = source.of_node(node).unwrap_or_else(|condition| {
                conditions.push(condition);
                Addresses::default()
            });
            let addresses = if node.name == own && source.is_local() {
                source.of_kernel(local)
            } else {
                told
            };
            Member {
                name: node.name.clone(),
                addresses,
                ranges: node.pod_ranges.clone(),
            }
        })
        .collect();
    conditions.extend(duplicate_addresses(&members));
    conditions.extend(missing_addresses(&members, source));
    conditions.extend(overlapping_ranges(&members));
    let rangeless = members.iter().filter(|member| member.ranges.is_empty());
    conditions.extend(rangeless.map(|member| Condition::NoPodRange {
        node: member.name.clone(),
    }));

    let all_ranges = members
        .iter()
        .flat_map(|member| member.ranges.iter().copied())
        .collect();
    let this = members
        .iter()
        .position(|member| member.name == own)
        .map(|at| members.remove(at));
    if this.is_none() {
        conditions.push(Condition::UnknownNode {
            node: own.to_owned(),
            known: nodes.len(),
        });
    }
    keep_first_holder(this.as_ref(), &mut members);
    View {
        network_available: nodes.get(own).is_some_and(|node| node.network_available),
        told: nodes.get(own).and_then(|node| node.annotation.clone()),
        own: this,
        peers: members,
        all_ranges,
        conditions,
    }
}

fn duplicate_addresses(members: &[Member]) -> Vec<Condition> {
    let mut holders: BTreeMap<IpAddr, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for member in members {
        for address in member.addresses.iter() {
            if let Some(first) = holders.insert(address, &member.name) {
                found.push(Condition::DuplicateAddress {
                    address,
                    first: first.to_owned(),
                    second: member.name.clone(),
                });
            }
        }
    }
    found
}

fn missing_addresses(members: &[Member], source: &AddressSource) -> Vec<Condition> {
    let missing = |member: &Member, range: IpNetwork| Condition::MissingAddress {
        node: member.name.clone(),
        range,
        family: if range.is_ipv4() { "IPv4" } else { "IPv6" },
        source_key: source.describe(),
    };
    let lacking = |member: &Member| -> Vec<Condition> {
        let ranges = member.ranges.iter().copied();
        ranges
            .filter(|range| member.addresses.of_family(*range).is_none())
            .map(|range| missing(member, range))
            .collect()
    };
    members.iter().flat_map(lacking).collect()
}

/// Prefixes either nest or are apart, so in the order of start and length each has to be compared
/// only with the last one that reaches furthest.
fn overlapping_ranges(members: &[Member]) -> Vec<Condition> {
    let mut all: Vec<(IpNetwork, &str)> = members
        .iter()
        .flat_map(|member| {
            member
                .ranges
                .iter()
                .map(|range| (*range, member.name.as_str()))
        })
        .collect();
    all.sort_unstable();
    let mut found = Vec::new();
    let mut reach: Option<(IpNetwork, &str)> = None;
    for (range, node) in all {
        match reach {
            Some((outer, holder)) if outer.contains(range.network()) => {
                if holder != node {
                    let mut pair = [(holder, outer), (node, range)];
                    pair.sort_unstable();
                    found.push(Condition::OverlappingRanges {
                        first: pair[0].0.to_owned(),
                        first_range: pair[0].1,
                        second: pair[1].0.to_owned(),
                        second_range: pair[1].1,
                    });
                }
            }
            _ => reach = Some((range, node)),
        }
    }
    found
}

/// A range can be routed to one node only: this node before any peer, then the first by name. A
/// peer's range inside of ours is never routed away.
fn keep_first_holder(own: Option<&Member>, peers: &mut [Member]) {
    let ours: &[IpNetwork] = own.map_or(&[], |own| &own.ranges);
    let mut held = BTreeSet::new();
    for peer in peers {
        peer.ranges.retain(|range| {
            !ours
                .iter()
                .any(|own| own.contains(range.network()) && own.prefix() <= range.prefix())
                && held.insert(*range)
        });
    }
}
