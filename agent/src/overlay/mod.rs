//! The tunnel of mode `vxlan`: the device, and the forwarding entries, neighbours and nexthop objects on it.
//!
//! What should stand is said by [`fairlead_cni_overlay`]; [`peers`] turns the view into its terms, [`mtu`]
//! says how much fits, [`device`] keeps the device, [`tables`] reads and writes the rest. Everything on the
//! device is ours, as the device is. Routes are added to those that [`crate::routes`] keeps: a range that
//! changes between a direct way and the tunnel is one replaced route.
//!
//! [`plan`] remembers what followed from all of that, which is most of a pass's work, until it would be different.
//! A pass has two halves around that of the routes: [`Keeper::raise`] makes what routes need,
//! [`Keeper::settle`] removes what they need no longer.

pub mod device;
pub mod mtu;
pub mod peers;
pub mod plan;
pub mod tables;

use std::sync::Arc;

use fairlead_cni_netlink::{Event, LinkIndex, Netlink, NextHop};
use fairlead_cni_node::owned::OVERLAY_NEXTHOP_IDS;
use fairlead_cni_overlay::{Change, Wanted, diff};

use crate::cluster::View;
use crate::config::Vxlan;
use crate::kernel::facts::Facts;
use crate::kernel::trouble::Trouble;
use crate::metrics::Metrics;
use crate::routes::reach::Asker;
use crate::routes::wanted::Wanted as Routes;
use device::{Device, Kept};
use mtu::Paths;
use peers::Ends;
use plan::{Known, Planner};
use tables::Dump;

/// What a pass has to know of everything else.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The cluster.
    pub view: &'a Arc<View>,
    /// This node's links and addresses.
    pub facts: &'a Facts,
    /// How other nodes are reached.
    pub reach: &'a Asker,
    /// All nexthop objects.
    pub next_hops: &'a [NextHop],
    /// Where to count.
    pub metrics: &'a Metrics,
}

/// What [`Keeper::raise`] came to.
#[derive(Debug)]
pub enum Raised {
    /// The tunnel stands.
    Up {
        /// The device.
        link: LinkIndex,
        /// All routes that are wanted, those through the tunnel among them.
        routes: Arc<Routes>,
        /// What is to be removed in the end.
        last: Vec<Change>,
        /// What the places in it are about.
        dump: Dump,
    },
    /// There is no tunnel, for a reason that has been told.
    Down,
    /// It could not be found out; what stands is to be left alone.
    Unknown,
}

/// Keeps the tunnel.
#[derive(Debug, Default)]
pub struct Keeper {
    /// What is planned.
    plan: Planner,
    /// What was wanted last, and where.
    wanted: Option<(LinkIndex, Arc<Wanted>)>,
    /// The MTU of pods in bytes, while it is known.
    pods_mtu: Option<u32>,
}

impl Keeper {
    /// Makes the device and what the routes through it need. `routes` are those that lead past it.
    pub fn raise(
        &mut self,
        netlink: &mut Netlink,
        config: &Vxlan,
        given: Given<'_>,
        routes: &Arc<Routes>,
        trouble: &mut Trouble,
    ) -> Raised {
        let reachable = given.reach.answers();
        let tunnelled = &routes.tunnelled;
        self.pods_mtu = None;
        let Some(ends) = Ends::of(given.view, reachable, config, tunnelled, trouble) else {
            return Raised::Unknown;
        };
        let Some(paths) = Paths::of(&ends, given.facts, routes, trouble) else {
            return Raised::Unknown;
        };
        self.pods_mtu = Some(paths.pods);
        let device = Device::wanted(config, &ends, paths.device);
        let link = match device.keep(netlink, given.facts, given.metrics, trouble) {
            Kept::At(link) => link,
            Kept::Foreign => {
                self.wanted = None;
                return Raised::Down;
            }
            Kept::Unknown => return Raised::Unknown,
        };
        let Some(dump) = trouble.value(Dump::read(netlink, link, given.next_hops)) else {
            return Raised::Unknown;
        };
        let known = Known::new(given.view, given.reach, link, paths);
        let plan = self.plan.plan(known, &ends, &dump.ids(), routes);
        let (wanted, routes) = (Arc::clone(&plan.wanted), Arc::clone(&plan.routes));
        peers::tell(&wanted.faults, trouble);
        let changes = diff(&wanted, &dump.actual());
        let before = self.wanted.as_ref();
        let repair = !changes.first.is_empty()
            && before.is_some_and(|(at, before)| (*at, before) == (link, &wanted));
        let refused = tables::write(
            netlink,
            link,
            &changes.first,
            &dump,
            repair,
            given.metrics,
            trouble,
        );
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        given.metrics.peers_wanted.set(gauge(ends.others.len()));
        let standing = wanted.fdb.len().saturating_sub(refused);
        given.metrics.peers_actual.set(gauge(standing));
        self.wanted = Some((link, wanted));
        Raised::Up {
            link,
            routes,
            last: changes.last,
            dump,
        }
    }

    /// The largest packet of pods that passes by every path, in bytes; `None` while that is unknown.
    #[must_use]
    pub const fn pods_mtu(&self) -> Option<u32> {
        self.pods_mtu
    }

    /// Whether the device is there.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.wanted.is_some()
    }

    /// Removes what no route needs any longer.
    pub fn settle(
        &self,
        netlink: &mut Netlink,
        raised: &Raised,
        metrics: &Metrics,
        trouble: &mut Trouble,
    ) {
        if let Raised::Up {
            link, last, dump, ..
        } = raised
        {
            tables::write(netlink, *link, last, dump, false, metrics, trouble);
        }
    }

    /// Removes all of the tunnel, where there should be none; its routes are gone already.
    pub fn remove(&mut self, netlink: &mut Netlink, given: Given<'_>, trouble: &mut Trouble) {
        self.wanted = None;
        given.metrics.peers_wanted.set(0);
        given.metrics.peers_actual.set(0);
        let devices = || {
            given
                .facts
                .links
                .iter()
                .filter(|link| device::is_ours(link))
        };
        for link in devices() {
            device::remove(netlink, link, given.metrics, trouble);
        }
        // Objects on a device went with it.
        let left: Vec<Change> = tables::ours(given.next_hops)
            .filter(|hop| devices().all(|link| hop.link != Some(link.index)))
            .map(|hop| Change::DeleteNextHop(hop.id))
            .collect();
        let (nowhere, dump) = (LinkIndex(0), Dump::default());
        tables::write(
            netlink,
            nowhere,
            &left,
            &dump,
            false,
            given.metrics,
            trouble,
        );
    }

    /// Whether `event` is about something on the device that is not as it was wanted.
    #[must_use]
    pub fn is_concerned(&self, event: &Event) -> bool {
        let Some((link, wanted)) = &self.wanted else {
            return false;
        };
        match event {
            Event::FdbSet(entry) | Event::FdbGone(entry) if entry.link != *link => false,
            Event::FdbSet(entry) => is_other(wanted_fdb(wanted, entry), tables::fdb(entry)),
            Event::FdbGone(entry) => wanted_fdb(wanted, entry).is_some(),
            Event::NeighbourSet(entry) | Event::NeighbourGone(entry) if entry.link != *link => {
                false
            }
            Event::NeighbourSet(entry) => {
                let wanted = wanted.neighbours.get(&entry.ip).copied();
                (wanted.is_some() || tables::is_permanent(entry))
                    && is_other(wanted, tables::neighbour(entry))
            }
            Event::NeighbourGone(entry) => wanted.neighbours.contains_key(&entry.ip),
            Event::NextHopSet(hop) if OVERLAY_NEXTHOP_IDS.contains(&hop.id) => {
                let wanted = wanted.next_hops.get(&hop.id).copied();
                is_other(wanted, tables::next_hop(hop, *link))
            }
            Event::NextHopGone(hop) => wanted.next_hops.contains_key(&hop.id),
            _ => false,
        }
    }
}

/// Whether an entry that was set is not the wanted one; `actual` is `None` for one of another kind.
fn is_other<T: PartialEq + Copy>(wanted: Option<T>, actual: Option<T>) -> bool {
    wanted.is_none() || wanted != actual
}

fn wanted_fdb(wanted: &Wanted, entry: &fairlead_cni_netlink::FdbEntry) -> Option<std::net::IpAddr> {
    wanted.fdb.get(&tables::mac(entry.mac)).copied()
}
