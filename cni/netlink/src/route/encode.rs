//! Writes `RTM_NEWROUTE` and `RTM_DELROUTE`.

use super::{DELETE, NEW, ONLINK, Path, Route, Target, attr};
use crate::types::Family;
use crate::wire::Writer;

/// `RT_TABLE_COMPAT`: the number is in `RTA_TABLE`.
const TABLE_COMPAT: u8 = 252;

/// `RT_SCOPE_NOWHERE`: in a deletion, any scope.
const ANY_SCOPE: u8 = 255;

/// Length of `struct rtnexthop`.
const HOP_HEADER: u16 = 8;

impl Route {
    pub(crate) fn write_new(&self, w: &mut Writer, flags: u16) {
        w.message(NEW, flags, |w| self.write(w, self.scope.number()));
    }

    pub(crate) fn write_delete(&self, w: &mut Writer) {
        let scope = if self.destination.is_ipv6() {
            self.scope.number()
        } else {
            ANY_SCOPE
        };
        w.message(DELETE, 0, |w| self.write(w, scope));
    }

    fn write(&self, w: &mut Writer, scope: u8) {
        let family = self.family();
        let single = match self.target {
            Target::Paths(ref paths) if paths.len() == 1 => paths.first(),
            _ => None,
        };
        let flags = if single.is_some_and(|path| path.onlink) {
            ONLINK
        } else {
            0
        };
        let table = u8::try_from(self.table).unwrap_or(TABLE_COMPAT);
        w.put(&[family.number(), self.destination.prefix(), 0, self.tos]);
        w.put(&[table, self.protocol, scope, self.kind.number()]);
        w.put(&u32::from(flags).to_ne_bytes());
        w.ip(attr::DST, self.destination.ip());
        w.u32(attr::TABLE, self.table);
        if self.metric != 0 {
            w.u32(attr::PRIORITY, self.metric);
        }
        if let Some(source) = self.source {
            w.ip(attr::PREFSRC, source);
        }
        self.write_metrics(w);
        match (&self.target, single) {
            (Target::NextHop(id), _) => w.u32(attr::NH_ID, *id),
            (Target::Paths(_), Some(path)) => {
                put_gateway(w, family, path);
                if let Some(link) = path.link {
                    w.u32(attr::OIF, link.0);
                }
            }
            (Target::Paths(paths), None) if !paths.is_empty() => {
                w.nest(attr::MULTIPATH, |w| {
                    for path in paths {
                        put_hop(w, family, path);
                    }
                });
            }
            (Target::Paths(_) | Target::None, _) => {}
        }
    }

    fn write_metrics(&self, w: &mut Writer) {
        if self.mtu.is_none() && self.advmss.is_none() {
            return;
        }
        w.nest(attr::METRICS, |w| {
            if self.mtu_locked {
                w.u32(attr::METRIC_LOCK, 1 << attr::METRIC_MTU);
            }
            if let Some(mtu) = self.mtu {
                w.u32(attr::METRIC_MTU, mtu);
            }
            if let Some(advmss) = self.advmss {
                w.u32(attr::METRIC_ADVMSS, advmss);
            }
        });
    }
}

/// Writes the gateway: `RTA_GATEWAY` within the family, `RTA_VIA` across families.
fn put_gateway(w: &mut Writer, family: Family, path: &Path) {
    let Some(via) = path.via else { return };
    if Family::of(via) == family {
        w.ip(attr::GATEWAY, via);
    } else {
        w.within(attr::VIA, |w| {
            w.put(&u16::from(Family::of(via).number()).to_ne_bytes());
            match via {
                std::net::IpAddr::V4(ip) => w.put(&ip.octets()),
                std::net::IpAddr::V6(ip) => w.put(&ip.octets()),
            }
        });
    }
}

/// Writes one `struct rtnexthop` with its attributes.
fn put_hop(w: &mut Writer, family: Family, path: &Path) {
    let mut hop = Writer::default();
    put_gateway(&mut hop, family, path);
    let attrs = hop.bytes();
    let length = u16::try_from(attrs.len())
        .unwrap_or(u16::MAX)
        .saturating_add(HOP_HEADER);
    let share = u8::try_from(path.weight.saturating_sub(1)).unwrap_or(u8::MAX);
    w.put(&length.to_ne_bytes());
    w.put(&[if path.onlink { ONLINK } else { 0 }, share]);
    w.put(&path.link.map_or(0, |link| link.0).to_ne_bytes());
    w.put(attrs);
}
