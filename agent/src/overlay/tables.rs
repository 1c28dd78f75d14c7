//! Forwarding entries, neighbours and nexthop objects: dumps in the overlay's terms, and its changes as
//! messages.

use std::net::IpAddr;

use fairlead_cni_netlink::{
    Batch, Family, FdbEntry, LinkIndex, Mac as LinkMac, Neighbour, NeighbourState, Netlink,
    NetlinkError, NextHop,
};
use fairlead_cni_node::owned::{OVERLAY_NEXTHOP_IDS, ROUTE_PROTOCOL};
use fairlead_cni_overlay::{Actual, Change, Ids, Mac};

use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;

/// What stands on the device.
#[derive(Debug, Default)]
pub struct Dump {
    link: LinkIndex,
    fdb: Vec<FdbEntry>,
    neighbours: Vec<Neighbour>,
    /// All of the half of the ids that is the tunnel's, whoever made them.
    next_hops: Vec<NextHop>,
}

impl Dump {
    /// Reads what stands on `link`; `next_hops` are all nexthop objects.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn read(
        netlink: &mut Netlink,
        link: LinkIndex,
        next_hops: &[NextHop],
    ) -> Result<Self, NetlinkError> {
        let mut neighbours = netlink.neighbours_of(Family::V4, link)?;
        neighbours.extend(netlink.neighbours_of(Family::V6, link)?);
        // The kernel keeps entries of its own for groups and for what it asked about.
        neighbours.retain(is_permanent);
        let in_range = |hop: &&NextHop| OVERLAY_NEXTHOP_IDS.contains(&hop.id);
        Ok(Self {
            link,
            fdb: netlink.fdb(Some(link))?,
            neighbours,
            next_hops: next_hops.iter().filter(in_range).cloned().collect(),
        })
    }

    /// The same in the overlay's terms.
    #[must_use]
    pub fn actual(&self) -> Actual {
        Actual {
            fdb: self
                .fdb
                .iter()
                .map(|entry| (mac(entry.mac), fdb(entry)))
                .collect(),
            neighbours: self
                .neighbours
                .iter()
                .map(|entry| (entry.ip, neighbour(entry)))
                .collect(),
            next_hops: ours(&self.next_hops)
                .map(|hop| (hop.id, next_hop(hop, self.link)))
                .collect(),
        }
    }

    /// The ids of nexthop objects that are in use.
    #[must_use]
    pub fn ids(&self) -> Ids {
        let kept = |hop: &NextHop| next_hop(hop, self.link).map(|gateway| (hop.id, gateway));
        let taken = |hop: &&NextHop| next_hop(hop, self.link).is_none();
        Ids {
            range: OVERLAY_NEXTHOP_IDS,
            kept: self.next_hops.iter().filter_map(kept).collect(),
            taken: self
                .next_hops
                .iter()
                .filter(taken)
                .map(|hop| hop.id)
                .collect(),
        }
    }
}

/// Those nexthop objects of the tunnel's half that the agent made.
pub fn ours(next_hops: &[NextHop]) -> impl Iterator<Item = &NextHop> {
    next_hops
        .iter()
        .filter(|hop| hop.protocol == ROUTE_PROTOCOL && OVERLAY_NEXTHOP_IDS.contains(&hop.id))
}

/// The overlay's own kind of hardware address.
#[must_use]
pub const fn mac(mac: LinkMac) -> Mac {
    Mac(mac.0)
}

/// Where a forwarding entry sends frames; `None` unless it is just as we make it.
#[must_use]
pub fn fdb(entry: &FdbEntry) -> Option<IpAddr> {
    let destination = entry.destination?;
    let plain = FdbEntry::remote(entry.link, entry.mac, destination);
    (*entry == plain).then_some(destination)
}

/// Whether a neighbour was set by somebody, rather than found by the kernel.
#[must_use]
pub const fn is_permanent(entry: &Neighbour) -> bool {
    entry.state.0 & NeighbourState::PERMANENT.0 != 0
}

/// A neighbour's hardware address; `None` unless it is just as we make it.
#[must_use]
pub fn neighbour(entry: &Neighbour) -> Option<Mac> {
    let plain = Neighbour::permanent(entry.link, entry.ip, entry.mac?);
    (*entry == plain).then_some(mac(entry.mac?))
}

/// A nexthop object's gateway; `None` unless it is just as we make it on `link`.
#[must_use]
pub fn next_hop(hop: &NextHop, link: LinkIndex) -> Option<IpAddr> {
    let gateway = hop.via?;
    let mut plain = made(hop.id, gateway, link);
    plain.scope = hop.scope;
    (*hop == plain).then_some(gateway)
}

fn made(id: u32, gateway: IpAddr, link: LinkIndex) -> NextHop {
    NextHop {
        protocol: ROUTE_PROTOCOL,
        onlink: true,
        ..NextHop::via(id, gateway, link)
    }
}

/// The kinds of entries as metrics count them.
const OBJECTS: [&str; 3] = ["fdb", "neighbour", "nexthop"];

/// The place of a change's kind in [`OBJECTS`].
const fn kind(change: &Change) -> usize {
    match change {
        Change::SetFdb(..) | Change::DeleteFdb(_) => 0,
        Change::SetNeighbour(..) | Change::DeleteNeighbour(_) => 1,
        Change::AddNextHop(..) | Change::DeleteNextHop(_) => 2,
    }
}

/// Writes `changes` to what `dump` holds of `link`, counts them, notes what was refused, and returns how much
/// that was.
pub fn write(
    netlink: &mut Netlink,
    link: LinkIndex,
    changes: &[Change],
    dump: &Dump,
    repair: bool,
    metrics: &Metrics,
    trouble: &mut Trouble,
) -> usize {
    if changes.is_empty() {
        return 0;
    }
    let mut batch = Batch::new();
    for change in changes {
        put(&mut batch, link, change, dump);
    }
    let Some(failures) = trouble.value(netlink.send_each(&batch)) else {
        return changes.len();
    };
    let refused = failures.len();
    let mut written = [0; OBJECTS.len()];
    for change in changes {
        written[kind(change)] += 1;
    }
    let mut errors = Vec::new();
    for failure in failures {
        if let Some(change) = changes.get(failure.index) {
            written[kind(change)] -= 1;
        }
        if !failure.error.is_not_found() {
            errors.push(failure.error);
        }
    }
    for (object, n) in OBJECTS.into_iter().zip(written) {
        metrics.wrote(object, n, repair);
    }
    let [fdb, neighbours, next_hops] = written;
    tracing::info!(fdb, neighbours, next_hops, repair, "changed the overlay");
    trouble.fail_all(errors);
    refused
}

fn put(batch: &mut Batch<'_>, link: LinkIndex, change: &Change, dump: &Dump) {
    let of = |mac: Mac| LinkMac(mac.0);
    match *change {
        Change::SetFdb(mac, to) => batch.replace_fdb(&FdbEntry::remote(link, of(mac), to)),
        Change::SetNeighbour(ip, mac) => {
            batch.replace_neighbour(&Neighbour::permanent(link, ip, of(mac)));
        }
        Change::AddNextHop(id, gateway) => batch.add_next_hop(&made(id, gateway, link)),
        Change::DeleteNextHop(id) => batch.delete_next_hop(id),
        Change::DeleteNeighbour(ip) => {
            if let Some(entry) = dump.neighbours.iter().find(|entry| entry.ip == ip) {
                batch.delete_neighbour(entry);
            }
        }
        Change::DeleteFdb(at) => {
            if let Some(entry) = dump.fdb.get(at) {
                batch.delete_fdb(entry);
            }
        }
    }
}
