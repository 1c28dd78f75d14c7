//! VLANs of a bridge's ports, and of the bridge itself (`linux/if_bridge.h`).

use std::fmt;

use super::{DELETE, HEADER, SET, attr, put_header};
use crate::types::LinkIndex;
use crate::wire::{Attrs, Bytes as _, Writer};

/// `AF_BRIDGE`.
pub(crate) const BRIDGE: u8 = 7;

/// `RTEXT_FILTER_BRVLAN_COMPRESSED`: report VLANs, ranges as such.
pub(crate) const WITH_VLANS: u32 = 4;

/// `IFLA_BRIDGE_FLAGS` with `BRIDGE_FLAGS_SELF`, and `IFLA_BRIDGE_VLAN_INFO`.
const FLAGS: u16 = 0;
const FLAG_SELF: u16 = 2;
const INFO: u16 = 2;

/// `BRIDGE_VLAN_INFO_*`.
const PVID: u16 = 2;
const UNTAGGED: u16 = 4;
const RANGE_BEGIN: u16 = 8;
const RANGE_END: u16 = 16;

/// VLANs that a port of a bridge takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortVlan {
    /// The port, or the bridge itself.
    pub link: LinkIndex,
    /// The first, 1 to 4094.
    pub first: u16,
    /// The last.
    pub last: u16,
    /// Frames that come in without a tag belong to it.
    pub pvid: bool,
    /// Frames leave without its tag.
    pub untagged: bool,
    /// `link` is the bridge itself rather than a port of one.
    pub bridge: bool,
}

impl PortVlan {
    /// One VLAN, tagged.
    #[must_use]
    pub const fn new(port: LinkIndex, vlan: u16) -> Self {
        Self::range(port, vlan, vlan)
    }

    /// All VLANs from `first` to `last`, tagged.
    #[must_use]
    pub const fn range(port: LinkIndex, first: u16, last: u16) -> Self {
        Self {
            link: port,
            first,
            last,
            pvid: false,
            untagged: false,
            bridge: false,
        }
    }

    pub(crate) fn write_new(&self, w: &mut Writer) {
        w.message(SET, 0, |w| self.write(w));
    }

    pub(crate) fn write_delete(&self, w: &mut Writer) {
        w.message(DELETE, 0, |w| self.write(w));
    }

    fn write(&self, w: &mut Writer) {
        put_header(w, BRIDGE, self.link.0, 0, 0);
        w.nest(attr::AF_SPEC, |w| {
            if self.bridge {
                w.u16(FLAGS, FLAG_SELF);
            }
            let flags = if self.pvid { PVID } else { 0 } | if self.untagged { UNTAGGED } else { 0 };
            if self.first == self.last {
                put_info(w, flags, self.first);
            } else {
                put_info(w, flags | RANGE_BEGIN, self.first);
                put_info(w, flags | RANGE_END, self.last);
            }
        });
    }

    /// Reads the VLANs of the port that a message is about; `None` when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Vec<Self>> {
        let port = LinkIndex(body.u32_at(4)?);
        let spec = Attrs::after(body, HEADER)?
            .find(attr::AF_SPEC)
            .unwrap_or_default();
        let mut vlans: Vec<Self> = Vec::new();
        for (_, info) in Attrs(spec).filter(|(kind, _)| *kind == INFO) {
            let (flags, vlan) = (info.u16_at(0)?, info.u16_at(2)?);
            match vlans.last_mut() {
                Some(range) if flags & RANGE_END != 0 => range.last = vlan,
                _ => vlans.push(Self {
                    pvid: flags & PVID != 0,
                    untagged: flags & UNTAGGED != 0,
                    ..Self::new(port, vlan)
                }),
            }
        }
        let own = Attrs(spec)
            .find(FLAGS)
            .and_then(|flags| flags.u16_at(0))
            .unwrap_or_default();
        for vlan in &mut vlans {
            vlan.bridge = own & FLAG_SELF != 0;
        }
        Some(vlans)
    }
}

/// Writes one `struct bridge_vlan_info`.
fn put_info(w: &mut Writer, flags: u16, vlan: u16) {
    w.within(INFO, |w| {
        w.put(&flags.to_ne_bytes());
        w.put(&vlan.to_ne_bytes());
    });
}

impl fmt::Display for PortVlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "vlan {} of link {}", self.first, self.link)
        } else {
            write!(
                f,
                "vlans {} to {} of link {}",
                self.first, self.last, self.link
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Messages;

    #[test]
    fn vlans_come_back_as_written() {
        let link = LinkIndex(3);
        let own = PortVlan {
            bridge: true,
            ..PortVlan::range(link, 1, 4094)
        };
        let native = PortVlan {
            pvid: true,
            untagged: true,
            ..PortVlan::new(link, 7)
        };
        for vlan in [own, native] {
            let mut w = Writer::default();
            vlan.write_new(&mut w);
            let message = Messages(w.bytes()).next().unwrap();
            assert_eq!(PortVlan::read(message.body), Some(vec![vlan]));
        }
        assert_eq!(own.to_string(), "vlans 1 to 4094 of link 3");
        assert_eq!(native.to_string(), "vlan 7 of link 3");
    }
}
