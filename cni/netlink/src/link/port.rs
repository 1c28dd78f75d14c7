//! Options of a link as a port of a bridge (`IFLA_BRPORT_*`).

use super::{NEW, attr, put_link};
use crate::types::LinkRef;
use crate::wire::{Attrs, Bytes as _, Writer};

const STATE: u16 = 1;
const HAIRPIN: u16 = 4;
const LEARNING: u16 = 8;
const UNICAST_FLOOD: u16 = 9;
const MULTICAST_FLOOD: u16 = 27;
const BROADCAST_FLOOD: u16 = 30;
const NEIGHBOUR_SUPPRESS: u16 = 32;
const ISOLATED: u16 = 33;

/// Options of a bridge port as the kernel reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own in the kernel"
)]
pub struct BridgePort {
    /// Spanning tree state: 0 disabled, 3 forwarding.
    pub state: u8,
    /// Frames may leave by the port that they came in by.
    pub hairpin: bool,
    /// Frames pass only to ports that are not isolated.
    pub isolated: bool,
    /// Addresses are learnt from frames.
    pub learning: bool,
    /// Frames to unknown addresses are sent here.
    pub unicast_flood: bool,
    /// Frames to unknown groups are sent here.
    pub multicast_flood: bool,
    /// Broadcasts are sent here.
    pub broadcast_flood: bool,
    /// ARP and neighbour discovery are answered by the bridge.
    pub neighbour_suppress: bool,
}

impl BridgePort {
    pub(crate) fn read(data: &[u8]) -> Self {
        let mut port = Self::default();
        for (kind, value) in Attrs(data) {
            let byte = value.u8_at(0).unwrap_or_default();
            let on = byte != 0;
            match kind {
                STATE => port.state = byte,
                HAIRPIN => port.hairpin = on,
                ISOLATED => port.isolated = on,
                LEARNING => port.learning = on,
                UNICAST_FLOOD => port.unicast_flood = on,
                MULTICAST_FLOOD => port.multicast_flood = on,
                BROADCAST_FLOOD => port.broadcast_flood = on,
                NEIGHBOUR_SUPPRESS => port.neighbour_suppress = on,
                _ => {}
            }
        }
        port
    }
}

/// A change of a bridge port; `None` stays as it is.
#[derive(Debug, Clone)]
pub struct PortChange {
    /// The port.
    pub link: LinkRef,
    /// Frames may leave by the port that they came in by.
    pub hairpin: Option<bool>,
    /// Frames pass only to ports that are not isolated.
    pub isolated: Option<bool>,
    /// Addresses are learnt from frames.
    pub learning: Option<bool>,
    /// Frames to unknown addresses are sent here.
    pub unicast_flood: Option<bool>,
    /// Frames to unknown groups are sent here.
    pub multicast_flood: Option<bool>,
    /// Broadcasts are sent here.
    pub broadcast_flood: Option<bool>,
    /// ARP and neighbour discovery are answered by the bridge.
    pub neighbour_suppress: Option<bool>,
}

impl PortChange {
    /// A change of `link` that changes nothing yet.
    #[must_use]
    pub fn of(link: impl Into<LinkRef>) -> Self {
        Self {
            link: link.into(),
            hairpin: None,
            isolated: None,
            learning: None,
            unicast_flood: None,
            multicast_flood: None,
            broadcast_flood: None,
            neighbour_suppress: None,
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.message(NEW, 0, |w| {
            put_link(w, 0, &self.link, 0, 0);
            w.nest(attr::LINKINFO, |w| {
                w.text(attr::INFO_SLAVE_KIND, "bridge");
                w.nest(attr::INFO_SLAVE_DATA, |w| {
                    w.flag(HAIRPIN, self.hairpin);
                    w.flag(LEARNING, self.learning);
                    w.flag(UNICAST_FLOOD, self.unicast_flood);
                    w.flag(MULTICAST_FLOOD, self.multicast_flood);
                    w.flag(BROADCAST_FLOOD, self.broadcast_flood);
                    w.flag(NEIGHBOUR_SUPPRESS, self.neighbour_suppress);
                    w.flag(ISOLATED, self.isolated);
                });
            });
        });
    }
}
