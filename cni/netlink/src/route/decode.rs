//! Reads `RTM_NEWROUTE` and `RTM_DELROUTE`.

use std::net::IpAddr;

use super::{HEADER, ONLINK, Path, Route, RouteKind, Scope, Target, attr};
use crate::types::{Family, LinkIndex, network};
use crate::wire::{Attrs, Bytes as _, align};

/// `RTM_F_CLONED`: an entry of a cache, not of a table.
const CLONED: u32 = 0x200;

/// Length of `struct rtnexthop`.
const HOP_HEADER: usize = 8;

/// `rta_expires` in `struct rta_cacheinfo`.
const CACHE_EXPIRES: usize = 8;

impl Route {
    /// Whether a message is about a cache entry rather than a route.
    pub(crate) fn is_cached(body: &[u8]) -> bool {
        body.u32_at(8).is_some_and(|flags| flags & CLONED != 0)
    }

    /// Reads the body of a message; `None` when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let family = Family::from_number(body.u8_at(0)?)?;
        let base = match attrs.find(attr::DST) {
            Some(ip) => ip.ip().filter(|&ip| Family::of(ip) == family)?,
            None => family.everything().ip(),
        };
        let mut route = Self::new(network(base, body.u8_at(1)?)?, Target::None);
        route.tos = body.u8_at(3)?;
        route.table = u32::from(body.u8_at(4)?);
        route.protocol = body.u8_at(5)?;
        route.scope = Scope::from_number(body.u8_at(6)?);
        route.kind = RouteKind::from_number(body.u8_at(7)?);
        route.metric = 0;
        let onlink = body.u32_at(8)? & u32::from(ONLINK) != 0;
        let mut single = Path {
            onlink,
            weight: 1,
            ..Path::default()
        };
        let mut several = Vec::new();
        let (mut object, mut ends) = (None, 0);
        for (kind, value) in attrs {
            match kind {
                attr::TABLE => route.table = value.u32_at(0)?,
                attr::PRIORITY => route.metric = value.u32_at(0)?,
                attr::PREFSRC => route.source = value.ip(),
                attr::METRICS => route.read_metrics(value),
                attr::OIF => single.link = value.u32_at(0).map(LinkIndex),
                attr::GATEWAY | attr::VIA => single.via = gateway(kind, value),
                attr::MULTIPATH => several = hops(value),
                attr::CACHE => ends = value.u32_at(CACHE_EXPIRES)?,
                attr::NH_ID => object = value.u32_at(0).filter(|&id| id != 0),
                _ => {}
            }
        }
        // What path MTU discovery found is reported like the route's own, but with an end.
        if ends != 0 && Self::is_cached(body) {
            route.mtu = None;
        }
        let refuses = matches!(
            route.kind,
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit | RouteKind::Throw
        );
        route.target = match object {
            Some(id) => Target::NextHop(id),
            None if !several.is_empty() => Target::Paths(several),
            // IPv6 reports such routes with the loopback as their link.
            None if refuses || (single.link.is_none() && single.via.is_none()) => Target::None,
            None => Target::Paths(vec![single]),
        };
        Some(route)
    }

    fn read_metrics(&mut self, value: &[u8]) {
        for (kind, value) in Attrs(value) {
            match kind {
                attr::METRIC_MTU => self.mtu = value.u32_at(0),
                attr::METRIC_ADVMSS => self.advmss = value.u32_at(0),
                attr::METRIC_LOCK => {
                    let locked = value.u32_at(0).unwrap_or_default();
                    self.mtu_locked = locked & (1 << attr::METRIC_MTU) != 0;
                }
                _ => {}
            }
        }
    }
}

fn gateway(kind: u16, value: &[u8]) -> Option<IpAddr> {
    if kind == attr::VIA {
        value.get(2..)?.ip()
    } else {
        value.ip()
    }
}

/// Reads the `struct rtnexthop`s of a route with several paths.
fn hops(mut value: &[u8]) -> Vec<Path> {
    let mut paths = Vec::new();
    while let (Some(length), Some(flags), Some(share), Some(link)) = (
        value.u16_at(0),
        value.u8_at(2),
        value.u8_at(3),
        value.u32_at(4),
    ) {
        let length = usize::from(length);
        let Some(attrs) = value.get(HOP_HEADER..length) else {
            break;
        };
        let via = Attrs(attrs)
            .find(attr::GATEWAY)
            .and_then(|ip| gateway(attr::GATEWAY, ip))
            .or_else(|| {
                Attrs(attrs)
                    .find(attr::VIA)
                    .and_then(|ip| gateway(attr::VIA, ip))
            });
        paths.push(Path {
            via,
            link: Some(LinkIndex(link)).filter(|link| link.0 != 0),
            onlink: flags & ONLINK != 0,
            weight: u16::from(share) + 1,
        });
        value = value.get(align(length)..).unwrap_or_default();
    }
    paths
}
