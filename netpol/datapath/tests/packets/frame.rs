//! Frames, written byte by byte: also such as no kernel would send.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP6: u8 = 58;
pub(crate) const SCTP: u8 = 132;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// Where a fragment belongs: its datagram's identification, its offset in bytes, whether more follow.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Part {
    pub(crate) id: u16,
    pub(crate) offset: u16,
    pub(crate) more: bool,
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IP packet of either family.
pub(crate) fn packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => v4(from, to, protocol, Part::default(), &[], payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => v6(from, to, protocol, 64, payload),
        _ => panic!("{from} and {to} are of two families"),
    }
}

/// The packet of a frame, for what carries it.
pub(crate) fn inside(frame: &[u8]) -> &[u8] {
    &frame[14..]
}

fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).unwrap().to_be_bytes()
}

pub(crate) fn v4(
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: u8,
    part: Part,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let header = 20 + options.len();
    let fragment = (part.offset / 8) | (u16::from(part.more) << 13);
    let mut bytes = vec![0x40 | u8::try_from(header / 4).unwrap(), 0];
    bytes.extend(length(header + payload.len()));
    bytes.extend(part.id.to_be_bytes());
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0, 0]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(options);
    bytes.extend(payload);
    ethernet(0x0800, &bytes)
}

pub(crate) fn v6(from: Ipv6Addr, to: Ipv6Addr, next: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(length(payload.len()));
    bytes.extend([next, hop_limit]);
    bytes.extend(from.octets());
    bytes.extend(to.octets());
    bytes.extend(payload);
    ethernet(0x86dd, &bytes)
}

/// An IPv6 extension header of 8 bytes before `rest`.
pub(crate) fn extension(next: u8, rest: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], rest].concat()
}

/// An IPv6 fragment header before `rest`.
pub(crate) fn fragment_header(next: u8, part: Part, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend(((part.offset & !7) | u16::from(part.more)).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(part.id.to_be_bytes());
    bytes.extend(rest);
    bytes
}

pub(crate) fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

pub(crate) fn udp(from: u16, to: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes.extend([0, 12, 0, 0, 1, 2, 3, 4]);
    bytes
}

/// An ICMP message: its type, the four bytes behind the checksum, and what it carries.
pub(crate) fn icmp(kind: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    [&[kind, 0, 0, 0], &rest[..], body].concat()
}

pub(crate) fn icmp_protocol(of: IpAddr) -> u8 {
    if of.is_ipv4() { ICMP } else { ICMP6 }
}

/// An echo request, or its reply.
pub(crate) fn echo(from: IpAddr, to: IpAddr, request: bool, id: u8) -> Vec<u8> {
    let kind = match (from.is_ipv4(), request) {
        (true, true) => 8,
        (true, false) => 0,
        (false, true) => 128,
        (false, false) => 129,
    };
    packet(
        from,
        to,
        icmp_protocol(from),
        &icmp(kind, [0, id, 0, 1], &[]),
    )
}

/// "Destination unreachable" about a packet.
pub(crate) fn unreachable(from: IpAddr, to: IpAddr, about: &[u8]) -> Vec<u8> {
    let kind = if from.is_ipv4() { 3 } else { 1 };
    packet(
        from,
        to,
        icmp_protocol(from),
        &icmp(kind, [0; 4], inside(about)),
    )
}
