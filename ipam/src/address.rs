//! Addresses as numbers: what ranges count with and what the lease file stores.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is IPv4.
pub(crate) fn is_v4(address: IpAddr) -> bool {
    address.is_ipv4()
}

/// The address as a number of its family.
pub(crate) fn to_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits().into(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The inverse of [`to_bits`]; higher bits than the family has are dropped.
pub(crate) fn from_bits(bits: u128, v4: bool) -> IpAddr {
    if v4 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an IPv4 address has 32 bits"
        )]
        let bits = bits as u32;
        Ipv4Addr::from_bits(bits).into()
    } else {
        Ipv6Addr::from_bits(bits).into()
    }
}

/// 16 bytes in the lease file: IPv6 as it is, IPv4 mapped (RFC 4291 section 2.5.5.2). Mapped
/// addresses never reach here as IPv6, the configuration parser makes them IPv4.
pub(crate) fn to_bytes(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

/// The inverse of [`to_bytes`]. Compares one number, not bytes: every allocation reads all leases.
pub(crate) fn from_bytes(bytes: [u8; 16]) -> IpAddr {
    let bits = u128::from_be_bytes(bytes);
    from_bits(bits, bits >> 32 == 0xffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_encodings_go_back_to_the_same_address() {
        for text in ["0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "fd00::1"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(from_bits(to_bits(address), is_v4(address)), address);
            assert_eq!(from_bytes(to_bytes(address)), address);
        }
    }
}
