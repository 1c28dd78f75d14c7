//! Reads: one object, a list, or the kernel's answer about a destination.

use std::net::IpAddr;
use std::os::fd::AsFd as _;

use nix::errno::Errno;

use super::Netlink;
use crate::address::{self, Address};
use crate::error::{NetlinkError, Operation};
use crate::filter::{self, Filter, FilterHook, Qdisc};
use crate::ioctl;
use crate::link::{self, Link, PortVlan};
use crate::neighbour::{self, FdbEntry, Neighbour, NeighbourFlags, NeighbourState};
use crate::next_hop::{self, NextHop};
use crate::route::{self, Route};
use crate::rule::{self, Rule};
use crate::types::{Family, LinkIndex, LinkName, LinkRef};
use crate::wire::{Message, Writer};

/// Questions in one send: as many as have room for their answers in the receive buffer.
const LOOKUPS: usize = 256;

/// Which routes to list; the kernel leaves the others out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteFilter {
    /// The family.
    pub family: Family,
    /// Of one table, 254 for main.
    pub table: Option<u32>,
    /// Of one maker (`RTPROT_*`).
    pub protocol: Option<u8>,
    /// Through one link.
    pub link: Option<LinkIndex>,
}

impl RouteFilter {
    /// All routes of a family, in all tables.
    #[must_use]
    pub const fn all(family: Family) -> Self {
        Self {
            family,
            table: None,
            protocol: None,
            link: None,
        }
    }
}

/// A question for the kernel: which way does a packet go?
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteLookup {
    /// Its destination.
    pub to: IpAddr,
    /// Its source.
    pub from: Option<IpAddr>,
    /// The link that it came in by; without one it is sent from here.
    pub iif: Option<LinkIndex>,
    /// The link that it has to leave by.
    pub oif: Option<LinkIndex>,
    /// Its mark.
    pub mark: u32,
    /// Ask for the route in the table rather than for the way of this one packet.
    pub entry: bool,
}

impl RouteLookup {
    /// A packet from here to `to`.
    #[must_use]
    pub const fn to(to: IpAddr) -> Self {
        Self {
            to,
            from: None,
            iif: None,
            oif: None,
            mark: 0,
            entry: false,
        }
    }
}

impl Netlink {
    /// All links.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let request = request(link::GET, |w| link::put_header(w, 0, 0, 0, 0));
        self.list(request, "links", link::NEW, Link::read)
    }

    /// The link called `name`; `ENODEV` when there is none.
    pub fn link(&mut self, name: &LinkName) -> Result<Link, NetlinkError> {
        self.one_link(&name.into())
    }

    /// The link with a number; `ENODEV` when there is none.
    pub fn link_by_index(&mut self, index: LinkIndex) -> Result<Link, NetlinkError> {
        self.one_link(&index.into())
    }

    /// The link called `name`, if there is one.
    pub fn find_link(&mut self, name: &LinkName) -> Result<Option<Link>, NetlinkError> {
        match self.link(name) {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// The number of the link called `name`; `ENODEV` when there is none. It never waits for a change
    /// that somebody else is making.
    pub fn index_of(&mut self, name: &LinkName) -> Result<LinkIndex, NetlinkError> {
        ioctl::index_of(self.socket.as_fd(), name)
            .map_err(|errno| refused(Operation::Read, LinkRef::from(name).to_string(), errno))
    }

    /// Whether the link called `name` leaves the checksums of what it sends to be computed later, by
    /// hardware or by the link that it hands packets on to (ethtool's `tx-checksumming`).
    pub fn tx_checksum(&mut self, name: &LinkName) -> Result<bool, NetlinkError> {
        ioctl::tx_checksum(self.socket.as_fd(), name).map_err(|errno| {
            refused(
                Operation::Read,
                format!("checksum offload of link {name}"),
                errno,
            )
        })
    }

    fn one_link(&mut self, link: &LinkRef) -> Result<Link, NetlinkError> {
        let mut request = request(link::GET, |w| link::put_link(w, 0, link, 0, 0));
        let object = || link.to_string();
        self.socket
            .ask(&mut request, &object, Operation::Read, |m| {
                Link::read(m.body)
            })
    }

    /// The VLANs of all ports of bridges and of the bridges; none where the kernel filters no VLANs.
    pub fn port_vlans(&mut self) -> Result<Vec<PortVlan>, NetlinkError> {
        let request = request(link::GET, |w| {
            link::put_header(w, link::BRIDGE, 0, 0, 0);
            w.u32(link::attr::EXT_MASK, link::WITH_VLANS);
        });
        let lists = self.list(request, "vlans of bridge ports", link::NEW, PortVlan::read)?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// All addresses of all links, IPv4 first.
    pub fn addresses(&mut self) -> Result<Vec<Address>, NetlinkError> {
        self.addresses_where(None)
    }

    /// All addresses of one link, IPv4 first; `ENODEV` when there is no such link.
    pub fn addresses_of(&mut self, link: LinkIndex) -> Result<Vec<Address>, NetlinkError> {
        self.addresses_where(Some(link))
    }

    fn addresses_where(&mut self, link: Option<LinkIndex>) -> Result<Vec<Address>, NetlinkError> {
        let object = link.map_or_else(
            || "addresses".into(),
            |link| format!("addresses of link {link}"),
        );
        let mut all = Vec::new();
        for family in Family::ALL {
            let request = request(address::GET, |w| {
                w.put(&[family.number(), 0, 0, 0]);
                w.put(&link.map_or(0, |link| link.0).to_ne_bytes());
            });
            all.extend(self.list(request, &object, address::NEW, Address::read)?);
        }
        Ok(all)
    }

    /// All routes of a family in all tables; cached ones are left out.
    pub fn routes(&mut self, family: Family) -> Result<Vec<Route>, NetlinkError> {
        self.routes_where(RouteFilter::all(family))
    }

    /// The routes of a family that match; a table that does not exist has none.
    pub fn routes_where(&mut self, filter: RouteFilter) -> Result<Vec<Route>, NetlinkError> {
        let request = request(route::GET, |w| {
            w.put(&[filter.family.number(), 0, 0, 0]);
            w.put(&[0, filter.protocol.unwrap_or(0), 0, 0]);
            w.put(&[0; 4]);
            if let Some(table) = filter.table {
                w.u32(route::attr::TABLE, table);
            }
            if let Some(link) = filter.link {
                w.u32(route::attr::OIF, link.0);
            }
        });
        let read = |body: &[u8]| {
            if Route::is_cached(body) {
                None
            } else {
                Route::read(body)
            }
        };
        match self.list(
            request,
            &format!("{} routes", filter.family),
            route::NEW,
            read,
        ) {
            Err(error) if filter.table.is_some() && error.is_not_found() => Ok(Vec::new()),
            routes => routes,
        }
    }

    /// The kernel's own answer: how a packet from here to `ip` goes. The answer's destination is `ip`
    /// itself; `ENETUNREACH` or `EHOSTUNREACH` when there is no way.
    pub fn route_to(&mut self, ip: IpAddr) -> Result<Route, NetlinkError> {
        self.lookup(&RouteLookup::to(ip))
    }

    /// The kernel's own answers for many addresses, in their order.
    pub fn routes_to(
        &mut self,
        addresses: &[IpAddr],
    ) -> Result<Vec<Result<Route, NetlinkError>>, NetlinkError> {
        let mut routes = Vec::with_capacity(addresses.len());
        for some in addresses.chunks(LOOKUPS) {
            let mut requests = Writer::default();
            for address in some {
                let lookup = RouteLookup::to(*address);
                requests.message(route::GET, 0, |w| put_lookup(w, &lookup));
            }
            let answers = self
                .socket
                .ask_each(&mut requests, |m| Route::read(m.body))?;
            for (answer, to) in answers.into_iter().zip(some) {
                let object = || format!("route to {to}");
                routes.push(match answer {
                    Ok(Some(route)) => Ok(route),
                    Ok(None) => Err(NetlinkError::Malformed { object: object() }),
                    Err(refusal) => Err(refusal.into_error(Operation::LookUp, object())),
                });
            }
        }
        Ok(routes)
    }

    /// The kernel's own answer about a packet.
    pub fn lookup(&mut self, lookup: &RouteLookup) -> Result<Route, NetlinkError> {
        let mut request = request(route::GET, |w| put_lookup(w, lookup));
        let object = || format!("route to {}", lookup.to);
        self.socket
            .ask(&mut request, &object, Operation::LookUp, |m| {
                Route::read(m.body)
            })
    }

    /// All neighbours of a family.
    pub fn neighbours(&mut self, family: Family) -> Result<Vec<Neighbour>, NetlinkError> {
        let request = neighbour_request(family.number(), None);
        self.list(
            request,
            &format!("{family} neighbours"),
            neighbour::NEW,
            Neighbour::read,
        )
    }

    /// All neighbours of a family on one link; the kernel leaves the others out.
    pub fn neighbours_of(
        &mut self,
        family: Family,
        link: LinkIndex,
    ) -> Result<Vec<Neighbour>, NetlinkError> {
        let mut request = Writer::default();
        request.message(neighbour::GET, 0, |w| {
            let (state, flags) = (NeighbourState(0), NeighbourFlags(0));
            neighbour::put_header(w, family.number(), LinkIndex(0), state, flags);
            w.u32(neighbour::attr::IFINDEX, link.0);
        });
        let object = format!("{family} neighbours of link {link}");
        self.list(request, &object, neighbour::NEW, Neighbour::read)
    }

    /// The neighbour with an address on a link, if there is one.
    pub fn neighbour(
        &mut self,
        link: LinkIndex,
        ip: IpAddr,
    ) -> Result<Option<Neighbour>, NetlinkError> {
        let mut request = request(neighbour::GET, |w| {
            let (state, flags) = (NeighbourState(0), NeighbourFlags(0));
            neighbour::put_header(w, Family::of(ip).number(), link, state, flags);
            w.ip(neighbour::attr::DST, ip);
        });
        let object = || format!("neighbour {ip} on link {link}");
        let found = self
            .socket
            .ask(&mut request, &object, Operation::Read, |m| {
                Neighbour::read(m.body)
            });
        match found {
            Err(error) if error.is_not_found() => Ok(None),
            found => found.map(Some),
        }
    }

    /// Forwarding entries of all bridges and VXLAN devices, or of one port or device.
    pub fn fdb(&mut self, link: Option<LinkIndex>) -> Result<Vec<FdbEntry>, NetlinkError> {
        let request = neighbour_request(neighbour::BRIDGE, link);
        let mut entries = self.list(
            request,
            "forwarding entries",
            neighbour::NEW,
            FdbEntry::read,
        )?;
        entries.retain(|entry| link.is_none_or(|link| entry.link == link));
        Ok(entries)
    }

    /// All routing rules of a family.
    pub fn rules(&mut self, family: Family) -> Result<Vec<Rule>, NetlinkError> {
        let request = request(rule::GET, |w| {
            w.put(&[family.number()]);
            w.put(&[0; 11]);
        });
        self.list(request, &format!("{family} rules"), rule::NEW, Rule::read)
    }

    /// All queueing disciplines of all links.
    pub fn qdiscs(&mut self) -> Result<Vec<Qdisc>, NetlinkError> {
        let request = request(filter::GET_QDISC, filter::put_all);
        let what = "queueing disciplines";
        self.list(request, what, filter::NEW_QDISC, Qdisc::read)
    }

    /// The BPF filters at one side of a link; none where there is no `clsact`, or no such link.
    pub fn filters(
        &mut self,
        link: LinkIndex,
        hook: FilterHook,
    ) -> Result<Vec<Filter>, NetlinkError> {
        let request = request(filter::GET, |w| filter::put_filters_of(w, link, hook));
        let object = format!("filters at {hook} of link {link}");
        filter::none_when_missing(self.list(request, &object, filter::NEW, Filter::read))
    }

    /// Whether anything filters packets at `clsact` of a link, of whatever kind.
    pub fn has_filters(&mut self, link: LinkIndex) -> Result<bool, NetlinkError> {
        for hook in FilterHook::ALL {
            let request = request(filter::GET, |w| filter::put_filters_of(w, link, hook));
            let object = format!("filters at {hook} of link {link}");
            let found = self.list(request, &object, filter::NEW, |_| Some(()));
            if !filter::none_when_missing(found)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All nexthop objects.
    pub fn next_hops(&mut self) -> Result<Vec<NextHop>, NetlinkError> {
        let request = request(next_hop::GET, |w| w.put(&[0; 8]));
        self.list(request, "nexthops", next_hop::NEW, NextHop::read)
    }

    fn list<T>(
        &mut self,
        mut request: Writer,
        object: &str,
        kind: u16,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        let take = |message: Message<'_>| (message.kind == kind).then(|| read(message.body))?;
        self.socket.dump(&mut request, &|| object.to_owned(), take)
    }
}

fn request(kind: u16, body: impl FnOnce(&mut Writer)) -> Writer {
    let mut w = Writer::default();
    w.message(kind, 0, body);
    w
}

/// Writes the question about a packet.
fn put_lookup(w: &mut Writer, lookup: &RouteLookup) {
    let family = Family::of(lookup.to);
    // IPv6 always names the table, and refuses to be asked for it.
    let table = if family == Family::V4 {
        route::LOOKUP_TABLE
    } else {
        0
    };
    let entry = if lookup.entry { route::FIB_MATCH } else { 0 };
    let flags = table | entry;
    let source = lookup.from.map_or(0, |_| family.bits());
    w.put(&[family.number(), family.bits(), source, 0]);
    w.put(&[0; 4]);
    w.put(&flags.to_ne_bytes());
    w.ip(route::attr::DST, lookup.to);
    if let Some(from) = lookup.from {
        w.ip(route::attr::SRC, from);
    }
    if let Some(iif) = lookup.iif {
        w.u32(route::attr::IIF, iif.0);
    }
    if let Some(oif) = lookup.oif {
        w.u32(route::attr::OIF, oif.0);
    }
    if lookup.mark != 0 {
        w.u32(route::attr::MARK, lookup.mark);
    }
}

/// An ioctl's refusal, which comes without words.
pub(super) fn refused(operation: Operation, object: String, errno: Errno) -> NetlinkError {
    NetlinkError::Refused {
        operation,
        object,
        errno,
        message: None,
        offset: None,
    }
}

fn neighbour_request(family: u8, link: Option<LinkIndex>) -> Writer {
    request(neighbour::GET, |w| {
        let (state, flags) = (NeighbourState(0), NeighbourFlags(0));
        // A strict request for forwarding entries names one device in the header.
        let index = link.unwrap_or_default();
        neighbour::put_header(w, family, index, state, flags);
    })
}
