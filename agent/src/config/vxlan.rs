//! `network.vxlan`: the tunnel to nodes that are not in this node's subnet.

use std::ops::RangeInclusive;

use fairlead_cni_netlink::LinkName;
use fairlead_cni_overlay::Vni;
use serde::Deserialize;

/// `network.vxlan`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vxlan {
    /// Which peers are reached through the tunnel.
    pub tunnel: Tunnel,
    /// The family of outer packets.
    pub underlay: Underlay,
    /// The network identifier.
    pub vni: Vni,
    /// UDP port that outer packets are sent to, above zero.
    pub port: u16,
    /// `sourcePorts`: UDP ports that outer packets are sent from; `None` leaves the kernel's.
    pub source_ports: Option<RangeInclusive<u16>>,
    /// TTL of outer packets; 0 is the system's.
    pub ttl: u8,
    /// DSCP of outer packets.
    pub dscp: Dscp,
    /// `udpChecksum`: outer UDP checksums over IPv4; over IPv6 there always are.
    pub udp_checksum: bool,
    /// `checksumOffload`: leave checksums of inner packets to the network card.
    pub checksum_offload: bool,
    /// The device's name.
    pub device: LinkName,
}

/// `network.vxlan.tunnel`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Tunnel {
    /// Peers that the kernel reaches without a gateway are routed to directly.
    #[default]
    CrossSubnet,
    /// All peers.
    Always,
}

/// `network.vxlan.underlay`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Underlay {
    /// IPv4 where this node has an IPv4 address, else IPv6.
    #[default]
    Auto,
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// `network.vxlan.dscp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dscp {
    /// This value, 0 to 63.
    Value(u8),
    /// That of the inner packet.
    Inherit,
}
