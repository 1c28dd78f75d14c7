//! What changes in the kernel, whoever changes it.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::protocols::NETLINK_ROUTE;

use crate::address::{self, Address};
use crate::error::NetlinkError;
use crate::filter;
use crate::link::{self, Link};
use crate::neighbour::{self, FdbEntry, Neighbour};
use crate::netns::NetNs;
use crate::next_hop::{self, NextHop};
use crate::route::{self, Route};
use crate::rule::{self, Rule};
use crate::socket::Socket;
use crate::types::LinkIndex;
use crate::wire::{Message, Messages};

/// Receive buffer in bytes: some ten thousand route changes before one is lost.
const BUFFER: usize = 8 * 1024 * 1024;

/// Datagrams that one [`Monitor::read`] takes at most, so that a storm cannot hold its caller.
const DATAGRAMS: usize = 256;

/// A kind of change to hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Links.
    Link,
    /// Addresses of both families.
    Address,
    /// Routes of both families.
    Route,
    /// Neighbours and forwarding entries.
    Neighbour,
    /// Rules of both families.
    Rule,
    /// Nexthop objects.
    NextHop,
    /// Queueing disciplines and their filters.
    Filter,
}

impl Group {
    /// The kernel's groups (`RTNLGRP_*`).
    const fn numbers(self) -> &'static [u32] {
        match self {
            Self::Link => &[1],
            Self::Address => &[5, 9],
            Self::Route => &[7, 11],
            Self::Neighbour => &[3],
            Self::Rule => &[8, 19],
            Self::NextHop => &[32],
            Self::Filter => &[4],
        }
    }
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "`Set` is made or changed, `Gone` is removed, each with the object"
)]
pub enum Event {
    LinkSet(Box<Link>),
    LinkGone(Box<Link>),
    AddressSet(Address),
    AddressGone(Address),
    RouteSet(Route),
    RouteGone(Route),
    NeighbourSet(Neighbour),
    NeighbourGone(Neighbour),
    FdbSet(FdbEntry),
    FdbGone(FdbEntry),
    RuleSet(Rule),
    RuleGone(Rule),
    NextHopSet(NextHop),
    NextHopGone(NextHop),
    /// A queueing discipline of a link, or a filter at one, was made, changed or removed.
    Filters(LinkIndex),
    /// Changes were lost: only a fresh list says what holds.
    Overrun,
}

/// A socket that hears of changes. It never blocks; wait for its descriptor to become readable.
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
}

impl Monitor {
    /// Listens in the calling thread's namespace.
    pub fn open(groups: &[Group]) -> Result<Self, NetlinkError> {
        let mut socket = Socket::open(NETLINK_ROUTE)?;
        socket.enlarge(BUFFER);
        let numbers: Vec<u32> = groups
            .iter()
            .flat_map(|group| group.numbers())
            .copied()
            .collect();
        socket.listen(&numbers)?;
        Ok(Self { socket })
    }

    /// Listens in `ns`; the calling thread is back in its own when this returns.
    pub fn open_in(ns: &NetNs, groups: &[Group]) -> Result<Self, NetlinkError> {
        ns.run(|| Self::open(groups))?
    }

    /// The changes that wait; none when nothing waits. Call again until it returns none.
    pub fn read(&mut self) -> Result<Vec<Event>, NetlinkError> {
        let mut events = Vec::new();
        let lost = self.socket.drain(DATAGRAMS, |bytes| {
            events.extend(Messages(bytes).filter_map(event));
        })?;
        if lost {
            events.push(Event::Overrun);
        }
        Ok(events)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}

/// Reads one notification; `None` for kinds that nobody here asks about.
fn event(message: Message<'_>) -> Option<Event> {
    let body = message.body;
    Some(match message.kind {
        // A port that leaves its bridge is reported as a deletion in the bridge's family.
        link::NEW | link::DELETE if body.first() != Some(&0) => return None,
        link::NEW => Event::LinkSet(Link::read(body)?.into()),
        link::DELETE => Event::LinkGone(Link::read(body)?.into()),
        address::NEW => Event::AddressSet(Address::read(body)?),
        address::DELETE => Event::AddressGone(Address::read(body)?),
        route::NEW | route::DELETE if Route::is_cached(body) => return None,
        route::NEW => Event::RouteSet(Route::read(body)?),
        route::DELETE => Event::RouteGone(Route::read(body)?),
        neighbour::NEW if body.first() == Some(&neighbour::BRIDGE) => {
            Event::FdbSet(FdbEntry::read(body)?)
        }
        neighbour::DELETE if body.first() == Some(&neighbour::BRIDGE) => {
            Event::FdbGone(FdbEntry::read(body)?)
        }
        neighbour::NEW => Event::NeighbourSet(Neighbour::read(body)?),
        neighbour::DELETE => Event::NeighbourGone(Neighbour::read(body)?),
        rule::NEW => Event::RuleSet(Rule::read(body)?),
        rule::DELETE => Event::RuleGone(Rule::read(body)?),
        next_hop::NEW => Event::NextHopSet(NextHop::read(body)?),
        next_hop::DELETE => Event::NextHopGone(NextHop::read(body)?),
        filter::NEW_QDISC | filter::DELETE_QDISC | filter::NEW | filter::DELETE => {
            Event::Filters(filter::link_of(body)?)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Writer;
    use crate::wire::tests::{Shape, body};

    fn read(kind: u8, body: &[u8]) {
        let mut w = Writer::default();
        w.message(u16::from(kind), 0, |w| w.put(body));
        Messages(w.bytes()).for_each(|message| drop(event(message)));
    }

    #[test]
    fn any_notification_is_read_without_panic() {
        bolero::check!()
            .with_type::<(u8, Vec<u8>)>()
            .for_each(|(kind, body)| read(*kind, body));
    }

    #[test]
    fn any_notification_of_attributes_is_read_without_panic() {
        let fuzz = bolero::check!().with_type::<(u8, [u8; 16], u8, Shape)>();
        fuzz.for_each(|(kind, header, length, shape)| {
            // Headers are of 8, 12 or 16 bytes, and begin with a family.
            let mut header = header[..8 + usize::from(length % 3) * 4].to_vec();
            header[0] = [0, 2, 7, 10][usize::from(header[0] % 4)];
            read(16 + kind % 96, &body(&header, shape));
        });
    }
}
