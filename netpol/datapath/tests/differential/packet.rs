//! Frames as the programs see them, written into one buffer that is used again and again.

use std::net::IpAddr;

/// IP protocol numbers.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const SCTP: u8 = 132;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMP6: u8 = 58;

/// TCP flags.
pub(crate) const SYN: u8 = 2;
pub(crate) const ACK: u8 = 16;

const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// What is above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// With its flags.
    Tcp(u16, u16, u8),
    Udp(u16, u16),
    Sctp(u16, u16),
    /// An echo request or its reply, with an identifier.
    Echo {
        id: u16,
        request: bool,
    },
    /// Anything else.
    Other(u8),
}

impl Payload {
    /// The protocol number in a family.
    pub(crate) fn protocol(self, v6: bool) -> u8 {
        match self {
            Self::Tcp(..) => TCP,
            Self::Udp(..) => UDP,
            Self::Sctp(..) => SCTP,
            Self::Echo { .. } => [ICMP, ICMP6][usize::from(v6)],
            Self::Other(protocol) => protocol,
        }
    }

    /// Source and destination port, or an echo's identifier; none: packets do not tell which flow they are of.
    pub(crate) fn ports(self) -> Option<(u16, u16)> {
        match self {
            Self::Tcp(from, to, _) | Self::Udp(from, to) | Self::Sctp(from, to) => Some((from, to)),
            Self::Echo { id, .. } => Some((id, 0)),
            Self::Other(_) => None,
        }
    }

    /// The same from another port.
    pub(crate) fn with_source_port(self, from: u16) -> Self {
        match self {
            Self::Tcp(_, to, flags) => Self::Tcp(from, to, flags),
            Self::Udp(_, to) => Self::Udp(from, to),
            Self::Sctp(_, to) => Self::Sctp(from, to),
            other @ (Self::Echo { .. } | Self::Other(_)) => other,
        }
    }

    /// The same to another port.
    pub(crate) fn with_destination_port(self, to: u16) -> Self {
        match self {
            Self::Tcp(from, _, flags) => Self::Tcp(from, to, flags),
            Self::Udp(from, _) => Self::Udp(from, to),
            Self::Sctp(from, _) => Self::Sctp(from, to),
            other @ (Self::Echo { .. } | Self::Other(_)) => other,
        }
    }

    /// The same flow, the other way; what a peer answers.
    pub(crate) fn answer(self) -> Self {
        match self {
            Self::Tcp(from, to, flags) if flags == SYN => Self::Tcp(to, from, SYN | ACK),
            Self::Tcp(from, to, _) => Self::Tcp(to, from, ACK),
            Self::Udp(from, to) => Self::Udp(to, from),
            Self::Sctp(from, to) => Self::Sctp(to, from),
            Self::Echo { id, .. } => Self::Echo { id, request: false },
            Self::Other(protocol) => Self::Other(protocol),
        }
    }

    /// A later packet of the same side.
    pub(crate) fn further(self) -> Self {
        match self {
            Self::Tcp(from, to, _) => Self::Tcp(from, to, ACK),
            other => other,
        }
    }

    /// Bytes before what a program reads no more.
    fn write(self, v6: bool, out: &mut Vec<u8>) {
        match self {
            Self::Tcp(from, to, flags) => {
                ports(from, to, out);
                out.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
            }
            Self::Udp(from, to) => {
                ports(from, to, out);
                out.extend([0, 16, 0, 0]);
            }
            Self::Sctp(from, to) => {
                ports(from, to, out);
                // A verification tag and a checksum, and an INIT chunk's head.
                out.extend([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 20]);
            }
            Self::Echo { id, request } => {
                let kind = match (v6, request) {
                    (false, true) => 8,
                    (false, false) => 0,
                    (true, true) => 128,
                    (true, false) => 129,
                };
                out.extend([kind, 0, 0, 0]);
                out.extend(id.to_be_bytes());
                out.extend([0, 1]);
            }
            Self::Other(_) => out.extend([0; 8]),
        }
        out.extend([0; 8]);
    }
}

fn ports(from: u16, to: u16, out: &mut Vec<u8>) {
    out.extend(from.to_be_bytes());
    out.extend(to.to_be_bytes());
}

/// Which part of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    /// The first fragment of the datagram with this identification.
    First(u16),
    /// One that has no ports.
    Later(u16),
}

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) payload: Payload,
    pub(crate) part: Part,
    /// IPv6 only: extension headers before the payload.
    pub(crate) extended: bool,
}

impl Packet {
    pub(crate) fn whole(source: IpAddr, destination: IpAddr, payload: Payload) -> Self {
        Self {
            source,
            destination,
            payload,
            part: Part::Whole,
            extended: false,
        }
    }

    /// What the receiver answers.
    pub(crate) fn answer(self) -> Self {
        Self {
            source: self.destination,
            destination: self.source,
            payload: self.payload.answer(),
            ..self
        }
    }

    /// A later packet of the sender.
    pub(crate) fn further(self) -> Self {
        Self {
            payload: self.payload.further(),
            ..self
        }
    }

    pub(crate) fn v6(self) -> bool {
        self.destination.is_ipv6()
    }

    /// The frame.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.clear();
        out.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        out.extend(if self.v6() { [0x86, 0xdd] } else { [8, 0] });
        self.datagram(out);
    }

    /// An ICMP error that `reporter` sends to the packet's sender about it.
    pub(crate) fn write_error(self, reporter: IpAddr, out: &mut Vec<u8>) {
        out.clear();
        out.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
        out.extend(if self.v6() { [0x86, 0xdd] } else { [8, 0] });
        let mut inner = Vec::with_capacity(64);
        self.datagram(&mut inner);
        // Destination unreachable, by the port: RFC 792, RFC 4443 section 3.1.
        let kind = if self.v6() { [1, 4] } else { [3, 3] };
        let length = 8 + inner.len();
        if self.v6() {
            header6(ICMP6, length, reporter, self.source, out);
        } else {
            header4(ICMP, length, (0, 0), reporter, self.source, out);
        }
        out.extend(kind);
        out.extend([0; 6]);
        out.extend(inner);
    }

    fn datagram(self, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(64);
        let protocol = self.payload.protocol(self.v6());
        if let Part::Later(_) = self.part {
            body.extend([0xa5; 24]);
        } else {
            self.payload.write(self.v6(), &mut body);
        }
        // Offsets count in 8 bytes.
        let (id, more, offset) = match self.part {
            Part::Whole => (0, 0, 0),
            Part::First(id) => (id, 1_u16, 0_u16),
            Part::Later(id) => (id, 0, 3),
        };
        if !self.v6() {
            let flags = (more << 13) | offset;
            let length = body.len();
            header4(
                protocol,
                length,
                (id, flags),
                self.source,
                self.destination,
                out,
            );
            out.extend(body);
            return;
        }
        let mut heads: Vec<u8> = Vec::new();
        let mut chain = Vec::new();
        if self.extended {
            chain.push(HOP_BY_HOP);
        }
        if self.part != Part::Whole {
            chain.push(FRAGMENT);
        }
        if self.extended && !matches!(self.part, Part::Later(_)) {
            chain.push(DESTINATION_OPTIONS);
        }
        // What a later fragment holds of the chain is the fragmentable part's first header only.
        let last = if self.extended && matches!(self.part, Part::Later(_)) {
            DESTINATION_OPTIONS
        } else {
            protocol
        };
        for (n, kind) in chain.iter().enumerate() {
            let next = chain.get(n + 1).copied().unwrap_or(last);
            if *kind == FRAGMENT {
                heads.extend([next, 0]);
                heads.extend(((offset << 3) | more).to_be_bytes());
                heads.extend([0, 0]);
                heads.extend(id.to_be_bytes());
            } else {
                // Padding: PadN of four.
                heads.extend([next, 0, 1, 4, 0, 0, 0, 0]);
            }
        }
        let first = chain.first().copied().unwrap_or(last);
        header6(
            first,
            heads.len() + body.len(),
            self.source,
            self.destination,
            out,
        );
        out.extend(heads);
        out.extend(body);
    }
}

fn header4(
    protocol: u8,
    length: usize,
    (id, flags): (u16, u16),
    source: IpAddr,
    destination: IpAddr,
    out: &mut Vec<u8>,
) {
    out.extend([0x45, 0]);
    out.extend(bytes16(20 + length));
    out.extend(id.to_be_bytes());
    out.extend(flags.to_be_bytes());
    out.extend([64, protocol, 0, 0]);
    address(source, out);
    address(destination, out);
}

fn header6(next: u8, length: usize, source: IpAddr, destination: IpAddr, out: &mut Vec<u8>) {
    out.extend([0x60, 0, 0, 0]);
    out.extend(bytes16(length));
    out.extend([next, 64]);
    address(source, out);
    address(destination, out);
}

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => out.extend(address.octets()),
        IpAddr::V6(address) => out.extend(address.octets()),
    }
}

/// Nothing here is longer than a small packet.
fn bytes16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}
