//! What is in a captured frame: Ethernet, IPv4 and IPv6 (RFC 791, RFC 8200), UDP, VXLAN (RFC 7348), ICMP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_cni_netlink::Mac;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// Protocol numbers of IANA.
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

/// An Ethernet frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Who sent it on this link.
    pub source: Mac,
    /// Whom it is for on this link.
    pub destination: Mac,
    /// The IP packet in it.
    pub packet: Option<Packet>,
}

/// An IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// The protocol of its payload; 6 is TCP, 17 UDP.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// The differentiated services code point: the upper six bits of the traffic class.
    pub dscp: u8,
    /// Bytes with its header; several packets of the wire when the kernel sends them as one (GSO).
    pub length: usize,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// A UDP datagram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// The source port.
    pub source: u16,
    /// The destination port.
    pub destination: u16,
    /// The checksum; 0 is none. The kernel completes it only where the packet leaves the machine.
    pub checksum: u16,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// What a VXLAN datagram carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encapsulated {
    /// The network identifier.
    pub vni: u32,
    /// The frame inside.
    pub frame: Frame,
}

impl Frame {
    /// Reads a frame; `None` when it is cut off.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mac = |at: usize| Some(Mac(bytes.get(at..at + 6)?.try_into().ok()?));
        let body = bytes.get(14..)?;
        Some(Self {
            destination: mac(0)?,
            source: mac(6)?,
            packet: match be16(bytes, 12)? {
                IPV4 => Packet::parse_v4(body),
                IPV6 => Packet::parse_v6(body),
                _ => None,
            },
        })
    }

    /// What it carries to UDP port `port` as VXLAN.
    #[must_use]
    pub fn vxlan(&self, port: u16) -> Option<Encapsulated> {
        let udp = self.packet.as_ref()?.udp()?;
        (udp.destination == port).then(|| udp.vxlan())?
    }

    /// Whether the packet in it goes between these two addresses.
    #[must_use]
    pub fn is_between(&self, source: IpAddr, destination: IpAddr) -> bool {
        self.packet
            .as_ref()
            .is_some_and(|packet| (packet.source, packet.destination) == (source, destination))
    }
}

impl Packet {
    fn parse_v4(bytes: &[u8]) -> Option<Self> {
        let ip = |at: usize| {
            let octets: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(IpAddr::from(Ipv4Addr::from(octets)))
        };
        let header = usize::from(bytes.first()? & 0xf) * 4;
        Some(Self {
            source: ip(12)?,
            destination: ip(16)?,
            protocol: *bytes.get(9)?,
            ttl: *bytes.get(8)?,
            dscp: bytes.get(1)? >> 2,
            length: bytes.len(),
            payload: bytes.get(header..)?.to_vec(),
        })
    }

    fn parse_v6(bytes: &[u8]) -> Option<Self> {
        let ip = |at: usize| {
            let octets: [u8; 16] = bytes.get(at..at + 16)?.try_into().ok()?;
            Some(IpAddr::from(Ipv6Addr::from(octets)))
        };
        Some(Self {
            source: ip(8)?,
            destination: ip(24)?,
            protocol: *bytes.get(6)?,
            ttl: *bytes.get(7)?,
            dscp: u8::try_from((be16(bytes, 0)? >> 6) & 0x3f).ok()?,
            length: bytes.len(),
            payload: bytes.get(40..)?.to_vec(),
        })
    }

    /// The datagram in it.
    #[must_use]
    pub fn udp(&self) -> Option<Udp> {
        if self.protocol != UDP {
            return None;
        }
        Some(Udp {
            source: be16(&self.payload, 0)?,
            destination: be16(&self.payload, 2)?,
            checksum: be16(&self.payload, 6)?,
            payload: self.payload.get(8..)?.to_vec(),
        })
    }

    /// The MTU that it reports as too small: "fragmentation needed" of RFC 1191, "packet too big" of RFC 4443.
    #[must_use]
    pub fn too_big(&self) -> Option<u32> {
        match (self.protocol, self.payload.get(..2)?) {
            (ICMP, [3, 4]) => be16(&self.payload, 6).map(u32::from),
            (ICMPV6, [2, _]) => Some(
                (u32::from(be16(&self.payload, 4)?) << 16) | u32::from(be16(&self.payload, 6)?),
            ),
            _ => None,
        }
    }
}

impl Udp {
    /// What it carries when it is VXLAN: a header with the bit for a valid identifier, and a frame.
    #[must_use]
    pub fn vxlan(&self) -> Option<Encapsulated> {
        let header = self.payload.get(..8)?;
        if header[0] & 0x08 == 0 {
            return None;
        }
        Some(Encapsulated {
            vni: u32::from_be_bytes([0, header[4], header[5], header[6]]),
            frame: Frame::parse(&self.payload[8..])?,
        })
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}
