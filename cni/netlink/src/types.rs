//! The small values that every object shares: names, indices, hardware addresses, families.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};

use crate::error::NetlinkError;

/// An address family of routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4 (`AF_INET`).
    V4,
    /// IPv6 (`AF_INET6`).
    V6,
}

impl Family {
    /// Both families, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The number of bits in an address: 32 or 128.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        match number {
            2 => Some(Self::V4),
            10 => Some(Self::V6),
            _ => None,
        }
    }

    /// The network of all addresses: `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub const fn everything(self) -> IpNetwork {
        match self {
            Self::V4 => match Ipv4Network::new_checked(Ipv4Addr::UNSPECIFIED, 0) {
                Some(all) => IpNetwork::V4(all),
                None => unreachable!(),
            },
            Self::V6 => match Ipv6Network::new_checked(Ipv6Addr::UNSPECIFIED, 0) {
                Some(all) => IpNetwork::V6(all),
                None => unreachable!(),
            },
        }
    }
}

/// The network `ip`/`prefix`, `None` when the prefix is too long for the family.
pub(crate) fn network(ip: IpAddr, prefix: u8) -> Option<IpNetwork> {
    IpNetwork::new(ip, prefix).ok()
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        })
    }
}

/// A link's number in its namespace, from 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkIndex(pub u32);

impl fmt::Display for LinkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A link's name as the kernel takes it: 1 to 15 bytes, no `/`, `:` or white space, not `.` or `..`
/// (`dev_valid_name`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkName(String);

impl LinkName {
    /// The longest name in bytes (`IFNAMSIZ` - 1).
    pub const MAX: usize = 15;

    /// Checks and takes a name.
    pub fn new(name: impl Into<String>) -> Result<Self, NetlinkError> {
        let name = name.into();
        let forbidden = |byte: u8| {
            byte == b'/' || byte == b':' || byte == 0 || byte.is_ascii_whitespace() || byte == 0x0b
        };
        if name.is_empty()
            || name.len() > Self::MAX
            || name == "."
            || name == ".."
            || name.bytes().any(forbidden)
        {
            return Err(NetlinkError::LinkName { name });
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name that the kernel reported; it is taken as it is.
    pub(crate) fn reported(name: String) -> Self {
        Self(name)
    }
}

impl AsRef<str> for LinkName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkName {
    type Err = NetlinkError;
    fn from_str(text: &str) -> Result<Self, NetlinkError> {
        Self::new(text)
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A link by its number or its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LinkRef {
    /// By number.
    Index(LinkIndex),
    /// By name.
    Name(LinkName),
}

impl From<LinkIndex> for LinkRef {
    fn from(index: LinkIndex) -> Self {
        Self::Index(index)
    }
}

impl From<LinkName> for LinkRef {
    fn from(name: LinkName) -> Self {
        Self::Name(name)
    }
}

impl From<&LinkName> for LinkRef {
    fn from(name: &LinkName) -> Self {
        Self::Name(name.clone())
    }
}

impl fmt::Display for LinkRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Index(index) => write!(f, "link {index}"),
            Self::Name(name) => write!(f, "link {name}"),
        }
    }
}

/// An Ethernet address.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether this is a group address (broadcast is one of them).
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        self.0.iter().try_for_each(|octet| {
            write!(f, "{separator}{octet:02x}")?;
            separator = ":";
            Ok(())
        })
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Mac {
    type Err = NetlinkError;
    fn from_str(text: &str) -> Result<Self, NetlinkError> {
        let invalid = || NetlinkError::Mac {
            text: text.to_owned(),
        };
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts
                .next()
                .filter(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .ok_or_else(invalid)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        if parts.next().is_some() {
            return Err(invalid());
        }
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_follow_the_kernels_rules() {
        assert_eq!(LinkName::new("eth0.100").unwrap().as_str(), "eth0.100");
        for bad in ["", ".", "..", "a/b", "a b", "a:b", "sixteen-bytes-xx"] {
            let text = LinkName::new(bad).unwrap_err().to_string();
            assert_eq!(
                text,
                format!(
                    "{bad:?} is no link name: it takes 1 to 15 bytes without '/', ':' or white space, and not \".\" or \"..\""
                )
            );
        }
    }

    #[test]
    fn mac_addresses_round_trip() {
        let mac: Mac = "02:0a:ff:00:01:7f".parse().unwrap();
        assert_eq!(mac.to_string(), "02:0a:ff:00:01:7f");
        for bad in [
            "",
            "02:0a:ff:00:01",
            "02:0a:ff:00:01:7f:00",
            "2:a:f:0:1:7",
            "02-0a-ff-00-01-7f",
            "+2:0a:ff:00:01:7f",
        ] {
            let text = bad.parse::<Mac>().unwrap_err().to_string();
            assert_eq!(
                text,
                format!(
                    "{bad:?} is no hardware address: it takes six bytes as in 02:00:5e:10:00:01"
                )
            );
        }
    }

    #[test]
    fn everything_is_the_network_of_length_zero() {
        assert_eq!(Family::V4.everything().to_string(), "0.0.0.0/0");
        assert_eq!(Family::V6.everything().to_string(), "::/0");
    }
}
