//! Identifiers of the overlay.

use std::fmt;

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

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_24_bits_and_are_not_zero() {
        assert_eq!(Vni::new(0), None);
        assert_eq!(Vni::new(1).map(Vni::get), Some(1));
        assert_eq!(Vni::new(0x00ff_ffff).map(Vni::get), Some(16_777_215));
        assert_eq!(Vni::new(0x0100_0000), None);
    }

    #[test]
    fn hardware_addresses_are_written_as_ip_does() {
        let mac = Mac([2, 0, 0xab, 0, 0, 1]);
        assert_eq!(mac.to_string(), "02:00:ab:00:00:01");
    }
}
