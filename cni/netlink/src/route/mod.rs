//! Routes (`linux/rtnetlink.h`).

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::types::{Family, LinkIndex};

/// `RTM_NEWROUTE`, `RTM_DELROUTE`, `RTM_GETROUTE`.
pub(crate) const NEW: u16 = 24;
pub(crate) const DELETE: u16 = 25;
pub(crate) const GET: u16 = 26;

/// Length of `struct rtmsg`.
pub(crate) const HEADER: usize = 12;

/// `RTNH_F_ONLINK`.
const ONLINK: u8 = 4;

/// `RTM_F_LOOKUP_TABLE`: an answer names the table; `RTM_F_FIB_MATCH`: it is the entry of the table itself.
pub(crate) const LOOKUP_TABLE: u32 = 0x1000;
pub(crate) const FIB_MATCH: u32 = 0x2000;

/// `RTA_*`.
pub(crate) mod attr {
    pub(crate) const DST: u16 = 1;
    pub(crate) const SRC: u16 = 2;
    pub(crate) const IIF: u16 = 3;
    pub(crate) const OIF: u16 = 4;
    pub(crate) const GATEWAY: u16 = 5;
    pub(crate) const PRIORITY: u16 = 6;
    pub(crate) const PREFSRC: u16 = 7;
    pub(crate) const METRICS: u16 = 8;
    pub(crate) const MULTIPATH: u16 = 9;
    pub(crate) const CACHE: u16 = 12;
    pub(crate) const TABLE: u16 = 15;
    pub(crate) const MARK: u16 = 16;
    pub(crate) const VIA: u16 = 18;
    pub(crate) const NH_ID: u16 = 30;
    /// Inside `METRICS` (`RTAX_*`).
    pub(crate) const METRIC_LOCK: u16 = 1;
    pub(crate) const METRIC_MTU: u16 = 2;
    pub(crate) const METRIC_ADVMSS: u16 = 8;
}

/// How far an address or a route reaches (`RT_SCOPE_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Everywhere. IPv6 routes always have this scope.
    #[default]
    Universe,
    /// Within this site.
    Site,
    /// On the link: without a gateway.
    Link,
    /// On this host.
    Host,
    /// Nowhere.
    Nowhere,
    /// A number of the administrator.
    Other(u8),
}

impl Scope {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Universe => 0,
            Self::Site => 200,
            Self::Link => 253,
            Self::Host => 254,
            Self::Nowhere => 255,
            Self::Other(number) => number,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Universe,
            200 => Self::Site,
            253 => Self::Link,
            254 => Self::Host,
            255 => Self::Nowhere,
            other => Self::Other(other),
        }
    }
}

/// What becomes of a packet (`RTN_*`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteKind {
    /// It is sent to the target.
    #[default]
    Unicast,
    /// It is for this host.
    Local,
    /// It is a broadcast.
    Broadcast,
    /// It is for this host, once for any of several.
    Anycast,
    /// It is for a group.
    Multicast,
    /// It is dropped silently.
    Blackhole,
    /// It is refused as unreachable.
    Unreachable,
    /// It is refused as prohibited.
    Prohibit,
    /// The search goes on in the next table.
    Throw,
    /// Any other number.
    Other(u8),
}

impl RouteKind {
    const NAMED: [(u8, Self); 9] = [
        (1, Self::Unicast),
        (2, Self::Local),
        (3, Self::Broadcast),
        (4, Self::Anycast),
        (5, Self::Multicast),
        (6, Self::Blackhole),
        (7, Self::Unreachable),
        (8, Self::Prohibit),
        (9, Self::Throw),
    ];

    fn number(self) -> u8 {
        match self {
            Self::Other(number) => number,
            kind => Self::NAMED
                .iter()
                .find(|(_, named)| *named == kind)
                .map_or(0, |(n, _)| *n),
        }
    }

    fn from_number(number: u8) -> Self {
        let named = Self::NAMED.iter().find(|(n, _)| *n == number);
        named.map_or(Self::Other(number), |(_, kind)| *kind)
    }
}

/// One way that a route may take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Path {
    /// The gateway, of either family; `None` when the destination is on the link.
    pub via: Option<IpAddr>,
    /// The link; the kernel finds it by the gateway when `None`.
    pub link: Option<LinkIndex>,
    /// The gateway is on the link although no route says so.
    pub onlink: bool,
    /// Its share among several paths, from 1.
    pub weight: u16,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(via) = self.via {
            write!(f, " via {via}")?;
        }
        if let Some(link) = self.link {
            write!(f, " on link {link}")?;
        }
        if self.onlink {
            f.write_str(" onlink")?;
        }
        Ok(())
    }
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Nowhere: for kinds such as `Blackhole`.
    None,
    /// By one path or shared among several.
    Paths(Vec<Path>),
    /// By the nexthop object with this id.
    NextHop(u32),
}

/// A route. Two are equal when everything that a caller can ask for is equal; what the kernel reports
/// beside that (a dead path, a cache entry) is left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route {
    /// What it is for, without host bits.
    pub destination: IpNetwork,
    /// Where it leads.
    pub target: Target,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// The table; 254 is main.
    pub table: u32,
    /// Who made it (`RTPROT_*`); 2 is the kernel, 3 boot, 4 an administrator.
    pub protocol: u8,
    /// How far it reaches.
    pub scope: Scope,
    /// Its metric: the lowest wins. The kernel's default is 0 for IPv4 and 1024 for IPv6.
    pub metric: u32,
    /// The preferred source address.
    pub source: Option<IpAddr>,
    /// The type of service that it is for, IPv4 only.
    pub tos: u8,
    /// The path MTU in bytes.
    pub mtu: Option<u32>,
    /// Whether `mtu` holds whatever path MTU discovery finds.
    pub mtu_locked: bool,
    /// The largest TCP segment to announce, in bytes.
    pub advmss: Option<u32>,
}

/// What the kernel tells routes apart by: a replacement hits the route with the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteKey {
    /// The table.
    pub table: u32,
    /// The destination.
    pub destination: IpNetwork,
    /// The metric.
    pub metric: u32,
    /// The type of service.
    pub tos: u8,
}

/// The main table (`RT_TABLE_MAIN`).
const MAIN: u32 = 254;

/// `RTPROT_BOOT`, what ip(8) uses when nothing is said.
const BOOT: u8 = 3;

impl Route {
    /// A route to `destination` with `target` and the kernel's defaults; host bits are cleared.
    #[must_use]
    pub fn new(destination: IpNetwork, target: Target) -> Self {
        let metric = if destination.is_ipv6() { 1024 } else { 0 };
        Self {
            destination: crate::types::network(destination.network(), destination.prefix())
                .unwrap_or(destination),
            target,
            kind: RouteKind::Unicast,
            table: MAIN,
            protocol: BOOT,
            scope: Scope::Universe,
            metric,
            source: None,
            tos: 0,
            mtu: None,
            mtu_locked: false,
            advmss: None,
        }
    }

    /// A route through a gateway, on `link` when given.
    #[must_use]
    pub fn via(destination: IpNetwork, gateway: IpAddr, link: Option<LinkIndex>) -> Self {
        let path = Path {
            via: Some(gateway),
            link,
            onlink: false,
            weight: 1,
        };
        Self::new(destination, Target::Paths(vec![path]))
    }

    /// A route to what is on `link`.
    #[must_use]
    pub fn on_link(destination: IpNetwork, link: LinkIndex) -> Self {
        let path = Path {
            via: None,
            link: Some(link),
            onlink: false,
            weight: 1,
        };
        let scope = if destination.is_ipv6() {
            Scope::Universe
        } else {
            Scope::Link
        };
        Self {
            scope,
            ..Self::new(destination, Target::Paths(vec![path]))
        }
    }

    /// A route through the nexthop object `id`.
    #[must_use]
    pub fn by_next_hop(destination: IpNetwork, id: u32) -> Self {
        Self::new(destination, Target::NextHop(id))
    }

    /// A route that drops packets silently.
    #[must_use]
    pub fn blackhole(destination: IpNetwork) -> Self {
        Self {
            kind: RouteKind::Blackhole,
            ..Self::new(destination, Target::None)
        }
    }

    /// A route that refuses packets as unreachable.
    #[must_use]
    pub fn unreachable(destination: IpNetwork) -> Self {
        Self {
            kind: RouteKind::Unreachable,
            ..Self::new(destination, Target::None)
        }
    }

    /// The same with its gateways taken to be on their links.
    #[must_use]
    pub fn onlink(mut self) -> Self {
        if let Target::Paths(paths) = &mut self.target {
            for path in paths {
                path.onlink = true;
            }
        }
        self
    }

    /// The family of the destination.
    #[must_use]
    pub fn family(&self) -> Family {
        Family::of(self.destination.ip())
    }

    /// What the kernel tells it apart by.
    #[must_use]
    pub fn key(&self) -> RouteKey {
        RouteKey {
            table: self.table,
            destination: self.destination,
            metric: self.metric,
            tos: self.tos,
        }
    }

    /// Its paths; none for a nexthop object and for kinds without target.
    #[must_use]
    pub fn paths(&self) -> &[Path] {
        match &self.target {
            Target::Paths(paths) => paths,
            Target::None | Target::NextHop(_) => &[],
        }
    }

    /// The link of its first path.
    #[must_use]
    pub fn link(&self) -> Option<LinkIndex> {
        self.paths().first().and_then(|path| path.link)
    }

    /// The gateway of its first path.
    #[must_use]
    pub fn gateway(&self) -> Option<IpAddr> {
        self.paths().first().and_then(|path| path.via)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            RouteKind::Unicast => write!(f, "route {}", self.destination)?,
            kind => write!(
                f,
                "{} route {}",
                format!("{kind:?}").to_lowercase(),
                self.destination
            )?,
        }
        match &self.target {
            Target::None => {}
            Target::NextHop(id) => write!(f, " through nexthop {id}")?,
            Target::Paths(paths) => {
                for path in paths {
                    path.fmt(f)?;
                }
            }
        }
        if self.table != MAIN {
            write!(f, " in table {}", self.table)?;
        }
        Ok(())
    }
}
