//! Tables.

use std::fmt;

use super::HEADER;
use crate::wire::{Attrs, Bytes as _};

/// `NFTA_TABLE_*`.
pub(super) mod attr {
    pub(crate) const NAME: u16 = 1;
    pub(crate) const FLAGS: u16 = 2;
    pub(crate) const HANDLE: u16 = 4;
}

/// `NFT_TABLE_F_DORMANT`.
const DORMANT: u32 = 1;

/// Which packets a table sees (`NFPROTO_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// ARP.
    Arp,
    /// Everything on one device.
    Netdev,
    /// Frames in a bridge.
    Bridge,
    /// Any other number.
    Other(u8),
}

impl TableFamily {
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
            Self::Other(number) => number,
        }
    }

    pub(super) const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Inet,
            2 => Self::Ip,
            3 => Self::Arp,
            5 => Self::Netdev,
            7 => Self::Bridge,
            10 => Self::Ip6,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for TableFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Arp => "arp",
            Self::Netdev => "netdev",
            Self::Bridge => "bridge",
            Self::Other(number) => return write!(f, "family {number}"),
        })
    }
}

/// What tells a table apart: its family and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// The family.
    pub family: TableFamily,
    /// The name, 255 bytes at most.
    pub name: String,
}

impl TableName {
    /// A table's family and name.
    pub fn new(family: TableFamily, name: impl Into<String>) -> Self {
        Self {
            family,
            name: name.into(),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// A table as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its family and name.
    pub name: TableName,
    /// Its number; another table of the same name later has another.
    pub handle: u64,
    /// Whether its chains are detached for now.
    pub dormant: bool,
}

impl Table {
    /// Reads the body of a message; `None` when it is malformed.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let flags = attrs
            .find(attr::FLAGS)
            .and_then(|flags| flags.be32_at(0))
            .unwrap_or_default();
        Some(Self {
            name: name_of(body, attrs.find(attr::NAME)?)?,
            handle: attrs
                .find(attr::HANDLE)
                .and_then(|handle| handle.be64_at(0))
                .unwrap_or_default(),
            dormant: flags & DORMANT != 0,
        })
    }
}

/// The table that a message of any kind is about, by its header and the attribute with the name.
pub(super) fn name_of(body: &[u8], name: &[u8]) -> Option<TableName> {
    Some(TableName::new(
        TableFamily::from_number(body.u8_at(0)?),
        name.text(),
    ))
}
