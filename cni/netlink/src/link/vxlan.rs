//! Options of a VXLAN device (`IFLA_VXLAN_*`).

use std::net::IpAddr;

use crate::types::LinkIndex;
use crate::wire::{Attrs, Bytes as _, Writer};

mod attr {
    pub(super) const ID: u16 = 1;
    pub(super) const GROUP: u16 = 2;
    pub(super) const LINK: u16 = 3;
    pub(super) const LOCAL: u16 = 4;
    pub(super) const TTL: u16 = 5;
    pub(super) const TOS: u16 = 6;
    pub(super) const LEARNING: u16 = 7;
    pub(super) const AGEING: u16 = 8;
    pub(super) const PORT_RANGE: u16 = 10;
    pub(super) const PORT: u16 = 15;
    pub(super) const GROUP6: u16 = 16;
    pub(super) const LOCAL6: u16 = 17;
    pub(super) const UDP_CSUM: u16 = 18;
    pub(super) const ZERO_CSUM6_TX: u16 = 19;
    pub(super) const ZERO_CSUM6_RX: u16 = 20;
    pub(super) const COLLECT_METADATA: u16 = 25;
    pub(super) const LABEL: u16 = 26;
    pub(super) const TTL_INHERIT: u16 = 28;
    pub(super) const DF: u16 = 29;
}

/// Options of a VXLAN device (RFC 7348); in a request `None` leaves the kernel's default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vxlan {
    /// The network identifier, 24 bits.
    pub vni: u32,
    /// The address that outer packets are sent from.
    pub local: Option<IpAddr>,
    /// The default destination, a unicast address or a group.
    pub remote: Option<IpAddr>,
    /// The device that outer packets leave by.
    pub link: Option<LinkIndex>,
    /// The UDP destination port; the kernel's default is 8472, IANA's 4789.
    pub port: Option<u16>,
    /// The first and last UDP source port.
    pub port_range: Option<(u16, u16)>,
    /// The outer TTL; 0 takes the system's default.
    pub ttl: Option<u8>,
    /// Copy the TTL of the inner packet.
    pub ttl_inherit: bool,
    /// The outer type of service; 1 copies the inner one.
    pub tos: Option<u8>,
    /// The outer IPv6 flow label.
    pub flow_label: Option<u32>,
    /// Don't fragment: 0 unset, 1 set, 2 copied from the inner packet.
    pub df: Option<u8>,
    /// Learn addresses from traffic.
    pub learning: Option<bool>,
    /// How long a learnt address is kept, in seconds.
    pub ageing: Option<u32>,
    /// UDP checksums over IPv4.
    pub udp_csum: Option<bool>,
    /// Send no UDP checksums over IPv6.
    pub udp6_zero_csum_tx: Option<bool>,
    /// Accept packets without UDP checksum over IPv6.
    pub udp6_zero_csum_rx: Option<bool>,
    /// Take tunnel parameters from routes (`external`).
    pub collect_metadata: Option<bool>,
}

impl Vxlan {
    /// A device for `vni` with the kernel's defaults.
    #[must_use]
    pub fn new(vni: u32) -> Self {
        Self {
            vni,
            ..Self::default()
        }
    }

    pub(crate) fn write(&self, w: &mut Writer) {
        w.u32(attr::ID, self.vni);
        if let Some(remote) = self.remote {
            w.ip(
                if remote.is_ipv4() {
                    attr::GROUP
                } else {
                    attr::GROUP6
                },
                remote,
            );
        }
        if let Some(link) = self.link {
            w.u32(attr::LINK, link.0);
        }
        if let Some(local) = self.local {
            w.ip(
                if local.is_ipv4() {
                    attr::LOCAL
                } else {
                    attr::LOCAL6
                },
                local,
            );
        }
        if self.ttl_inherit {
            w.attr(attr::TTL_INHERIT, &[]);
        } else if let Some(ttl) = self.ttl {
            w.u8(attr::TTL, ttl);
        }
        if let Some(tos) = self.tos {
            w.u8(attr::TOS, tos);
        }
        if let Some(label) = self.flow_label {
            w.be32(attr::LABEL, label);
        }
        if let Some(df) = self.df {
            w.u8(attr::DF, df);
        }
        w.flag(attr::LEARNING, self.learning);
        if let Some(ageing) = self.ageing {
            w.u32(attr::AGEING, ageing);
        }
        if let Some((low, high)) = self.port_range {
            w.within(attr::PORT_RANGE, |w| {
                w.put(&low.to_be_bytes());
                w.put(&high.to_be_bytes());
            });
        }
        if let Some(port) = self.port {
            w.be16(attr::PORT, port);
        }
        w.flag(attr::UDP_CSUM, self.udp_csum);
        w.flag(attr::ZERO_CSUM6_TX, self.udp6_zero_csum_tx);
        w.flag(attr::ZERO_CSUM6_RX, self.udp6_zero_csum_rx);
        w.flag(attr::COLLECT_METADATA, self.collect_metadata);
    }

    pub(crate) fn read(data: &[u8]) -> Self {
        let mut vxlan = Self::default();
        for (kind, value) in Attrs(data) {
            let flag = || value.u8_at(0).map(|byte| byte != 0);
            match kind {
                attr::ID => vxlan.vni = value.u32_at(0).unwrap_or_default(),
                attr::GROUP | attr::GROUP6 => vxlan.remote = value.ip(),
                attr::LINK => vxlan.link = value.u32_at(0).filter(|&link| link != 0).map(LinkIndex),
                attr::LOCAL | attr::LOCAL6 => vxlan.local = value.ip(),
                attr::TTL => vxlan.ttl = value.u8_at(0),
                // A bare flag in a request, one byte in an answer.
                attr::TTL_INHERIT => vxlan.ttl_inherit = value.u8_at(0) != Some(0),
                attr::TOS => vxlan.tos = value.u8_at(0),
                attr::LABEL => vxlan.flow_label = value.be32_at(0),
                attr::DF => vxlan.df = value.u8_at(0),
                attr::LEARNING => vxlan.learning = flag(),
                attr::AGEING => vxlan.ageing = value.u32_at(0),
                attr::PORT_RANGE => vxlan.port_range = value.be16_at(0).zip(value.be16_at(2)),
                attr::PORT => vxlan.port = value.be16_at(0),
                attr::UDP_CSUM => vxlan.udp_csum = flag(),
                attr::ZERO_CSUM6_TX => vxlan.udp6_zero_csum_tx = flag(),
                attr::ZERO_CSUM6_RX => vxlan.udp6_zero_csum_rx = flag(),
                attr::COLLECT_METADATA => vxlan.collect_metadata = flag(),
                _ => {}
            }
        }
        vxlan
    }
}
