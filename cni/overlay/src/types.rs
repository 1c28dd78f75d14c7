//! Identifiers of the overlay.

use std::fmt;
use std::net::Ipv6Addr;

/// The identifier of a VXLAN network (RFC 7348 section 5): 24 bits, here from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vni(u32);

impl Vni {
    /// The least.
    pub const MIN: u32 = 1;

    /// The greatest.
    pub const MAX: u32 = 0x00ff_ffff;

    /// `None` outside of [`Self::MIN`] to [`Self::MAX`].
    #[must_use]
    pub const fn new(vni: u32) -> Option<Self> {
        if vni >= Self::MIN && vni <= Self::MAX {
            Some(Self(vni))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// FNV-1a with 64 bits: its start and its prime.
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Bits of a node's hardware address that depend on its name.
const HASHED: u32 = 46;

impl Mac {
    /// That of the tunnel's device on the node called `name`: 46 bits of a hash, locally administered,
    /// unicast. It follows from the name alone, so nodes need not tell each other, and outlives
    /// whatever happens to the node.
    #[must_use]
    pub fn of_node(name: &str) -> Self {
        let hash = name.bytes().fold(FNV_START, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME)
        });
        let folded = (hash >> HASHED) ^ hash;
        let [_, _, mac @ ..] = folded.to_be_bytes();
        let mut mac = mac;
        mac[0] = mac[0] & 0xfc | 0x02;
        Self(mac)
    }

    /// The IPv6 link-local address made of it (RFC 4291 appendix A).
    #[must_use]
    pub fn link_local(self) -> Ipv6Addr {
        let mac = self.0;
        let pair = |high, low| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            pair(mac[0] ^ 0x02, mac[1]),
            pair(mac[2], 0xff),
            pair(0xfe, mac[3]),
            pair(mac[4], mac[5]),
        )
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn identifiers_have_24_bits_and_are_not_zero() {
        assert_eq!(Vni::new(0), None);
        assert_eq!(Vni::new(1).map(Vni::get), Some(1));
        assert_eq!(Vni::new(0x00ff_ffff).map(Vni::get), Some(16_777_215));
        assert_eq!(Vni::new(0x0100_0000), None);
    }

    #[test]
    fn a_nodes_hardware_address_never_changes() {
        let of = |name| Mac::of_node(name).to_string();
        assert_eq!(of("n1"), "7a:07:b5:58:f6:0d");
        assert_eq!(of("worker-1.example.org"), "5e:60:0a:40:7c:a0");
    }

    #[test]
    fn nodes_hardware_addresses_are_local_unicast_and_differ() {
        let all: BTreeSet<Mac> = (0..100_000)
            .map(|n| Mac::of_node(&format!("ip-10-0-{}-{}.internal", n / 250, n % 250)))
            .collect();
        assert_eq!(all.len(), 100_000);
        assert!(all.iter().all(|mac| mac.0[0] & 0x03 == 0x02));
    }

    #[test]
    fn the_link_local_address_is_that_of_the_rfc() {
        let mac = Mac([0x36, 0x56, 0x78, 0x9a, 0xbc, 0xde]);
        assert_eq!(mac.link_local().to_string(), "fe80::3456:78ff:fe9a:bcde");
    }
}
