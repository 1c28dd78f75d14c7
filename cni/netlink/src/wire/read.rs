//! Reads messages and attributes out of received bytes; damaged input ends the iteration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{HEADER, align};

/// The bits of an attribute's type that are not its number (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const TYPE_MASK: u16 = 0x3fff;

/// One message: the header's fields and what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

/// The messages of one received datagram.
#[derive(Debug, Clone)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let length = usize::try_from(self.0.u32_at(0)?).ok()?;
        if length < HEADER || length > self.0.len() {
            return None;
        }
        let message = Message {
            kind: self.0.u16_at(4)?,
            flags: self.0.u16_at(6)?,
            sequence: self.0.u32_at(8)?,
            body: &self.0[HEADER..length],
        };
        self.0 = &self.0[align(length).min(self.0.len())..];
        Some(message)
    }
}

/// The attributes in a stretch of bytes, as number and value.
#[derive(Debug, Clone)]
pub(crate) struct Attrs<'a>(pub(crate) &'a [u8]);

impl<'a> Attrs<'a> {
    /// The attributes after a fixed part of `header` bytes; `None` when even that is missing.
    pub(crate) fn after(body: &'a [u8], header: usize) -> Option<Self> {
        if body.len() < header {
            return None;
        }
        Some(Self(&body[align(header).min(body.len())..]))
    }

    /// The value of the first attribute numbered `kind`.
    pub(crate) fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone()
            .find_map(|(number, value)| (number == kind).then_some(value))
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(self.0.u16_at(0)?);
        let kind = self.0.u16_at(2)? & TYPE_MASK;
        if length < 4 || length > self.0.len() {
            return None;
        }
        let value = &self.0[4..length];
        self.0 = &self.0[align(length).min(self.0.len())..];
        Some((kind, value))
    }
}

/// Fixed-size values out of bytes, `None` when they are too short.
pub(crate) trait Bytes {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    fn u8_at(&self, at: usize) -> Option<u8> {
        self.array::<1>(at).map(|[byte]| byte)
    }
    fn u16_at(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_ne_bytes)
    }
    fn u32_at(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_ne_bytes)
    }
    fn u64_at(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_ne_bytes)
    }
    fn be16_at(&self, at: usize) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }
    fn be32_at(&self, at: usize) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }
    fn be64_at(&self, at: usize) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }
    /// The text up to the first zero byte; bytes that are no UTF-8 are replaced.
    fn text(&self) -> String;
    /// An address of 4 or 16 bytes.
    fn ip(&self) -> Option<IpAddr>;
}

impl Bytes for [u8] {
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn text(&self) -> String {
        let end = self
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(self.len());
        String::from_utf8_lossy(&self[..end]).into_owned()
    }

    fn ip(&self) -> Option<IpAddr> {
        match self.len() {
            4 => self
                .array::<4>(0)
                .map(|octets| Ipv4Addr::from(octets).into()),
            16 => self
                .array::<16>(0)
                .map(|octets| Ipv6Addr::from(octets).into()),
            _ => None,
        }
    }
}
