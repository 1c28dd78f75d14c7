//! Keys: what sets hold and packets are compared with, as the bytes that the kernel compares.

use std::fmt;
use std::net::IpAddr;

use crate::types::{LinkName, Mac};

/// The kind of a field, as nft(8) numbers them; the kernel only keeps the number for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// An IPv4 address.
    Ipv4Addr,
    /// An IPv6 address.
    Ipv6Addr,
    /// A hardware address.
    EtherAddr,
    /// A transport protocol's number.
    InetProto,
    /// A port.
    InetService,
    /// A mark.
    Mark,
    /// A link's number.
    IfIndex,
    /// A link's name.
    IfName,
    /// Any other number, with the length in bytes.
    Other(u32, u32),
}

impl KeyType {
    const NAMED: [Self; 8] = [
        Self::Ipv4Addr,
        Self::Ipv6Addr,
        Self::EtherAddr,
        Self::InetProto,
        Self::InetService,
        Self::Mark,
        Self::IfIndex,
        Self::IfName,
    ];

    /// nft(8)'s number (`enum datatypes`).
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Ipv4Addr => 7,
            Self::Ipv6Addr => 8,
            Self::EtherAddr => 9,
            Self::InetProto => 12,
            Self::InetService => 13,
            Self::Mark => 19,
            Self::IfIndex => 20,
            Self::IfName => 41,
            Self::Other(number, _) => number,
        }
    }

    /// Its length in bytes.
    pub(super) const fn length(self) -> u32 {
        match self {
            Self::InetProto => 1,
            Self::InetService => 2,
            Self::Ipv4Addr | Self::Mark | Self::IfIndex => 4,
            Self::EtherAddr => 6,
            Self::Ipv6Addr | Self::IfName => 16,
            Self::Other(_, length) => length,
        }
    }

    /// The fields that nft(8)'s number stands for: concatenations have six bits a field.
    pub(super) fn fields(number: u32, length: u32) -> Vec<Self> {
        let named = |number| Self::NAMED.into_iter().find(|kind| kind.number() == number);
        if let Some(kind) = named(number) {
            return vec![kind];
        }
        let fields: Option<Vec<_>> = (0..5)
            .rev()
            .map(|place| (number >> (6 * place)) & 0x3f)
            .skip_while(|&field| field == 0)
            .map(named)
            .collect();
        match fields {
            Some(fields) if number > 0x3f => fields,
            _ => vec![Self::Other(number, length)],
        }
    }
}

/// Rounds up to the words that a field takes within a concatenation.
pub(super) const fn padded(length: u32) -> u32 {
    length.div_ceil(4) * 4
}

/// The value of one field or of several joined ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

impl Key {
    /// A mark or another number in host order.
    #[must_use]
    pub fn mark(mark: u32) -> Self {
        Self(mark.to_ne_bytes().to_vec())
    }

    /// A port.
    #[must_use]
    pub fn port(port: u16) -> Self {
        Self(port.to_be_bytes().to_vec())
    }

    /// A number of one byte, such as a protocol.
    #[must_use]
    pub fn byte(byte: u8) -> Self {
        Self(vec![byte])
    }

    /// A value by its bytes as they stand in the kernel.
    #[must_use]
    pub fn raw(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The value of a concatenation.
    #[must_use]
    pub fn join(fields: &[Self]) -> Self {
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(&field.0);
            bytes.resize(crate::wire::align(bytes.len()), 0);
        }
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The address, when the key is as long as one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        crate::wire::Bytes::ip(self.0.as_slice())
    }

    /// The value after this one as a big-endian number; `None` after the last.
    pub(super) fn next(&self) -> Option<Self> {
        let mut bytes = self.0.clone();
        for byte in bytes.iter_mut().rev() {
            *byte = byte.wrapping_add(1);
            if *byte != 0 {
                return Some(Self(bytes));
            }
        }
        None
    }

    /// The value before this one as a big-endian number; `None` before the first.
    pub(super) fn previous(&self) -> Option<Self> {
        let mut bytes = self.0.clone();
        for byte in bytes.iter_mut().rev() {
            let old = *byte;
            *byte = byte.wrapping_sub(1);
            if old != 0 {
                return Some(Self(bytes));
            }
        }
        None
    }

    /// The highest value of this length.
    pub(super) fn last_of(length: usize) -> Self {
        Self(vec![0xff; length])
    }
}

impl From<IpAddr> for Key {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(ip.octets().to_vec()),
            IpAddr::V6(ip) => Self(ip.octets().to_vec()),
        }
    }
}

impl From<Mac> for Key {
    fn from(mac: Mac) -> Self {
        Self(mac.0.to_vec())
    }
}

impl From<&LinkName> for Key {
    fn from(name: &LinkName) -> Self {
        let mut bytes = name.as_str().as_bytes().to_vec();
        bytes.resize(LinkName::MAX + 1, 0);
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(ip) = self.ip() {
            return write!(f, "{ip}");
        }
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
