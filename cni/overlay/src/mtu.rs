//! How much of a packet is left for pods once it travels in another one.

use std::net::IpAddr;

/// Ethernet header of the inner frame, VXLAN header, UDP header.
const COMMON: u32 = 14 + 8 + 8;

/// Bytes that the tunnel adds to a packet when its ends have addresses of the family of `endpoint`:
/// 50 over IPv4 (header of 20 bytes), 70 over IPv6 (header of 40).
#[must_use]
pub const fn overhead(endpoint: IpAddr) -> u32 {
    match endpoint {
        IpAddr::V4(_) => COMMON + 20,
        IpAddr::V6(_) => COMMON + 40,
    }
}

/// The largest packet in bytes that fits into one of `outer` bytes; 0 when none does.
#[must_use]
pub const fn inner(outer: u32, endpoint: IpAddr) -> u32 {
    outer.saturating_sub(overhead(endpoint))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tunnel_takes_50_bytes_over_ipv4_and_70_over_ipv6() {
        let (v4, v6) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        assert_eq!((inner(1500, v4), inner(1500, v6)), (1450, 1430));
        assert_eq!((inner(9000, v4), inner(9000, v6)), (8950, 8930));
        assert_eq!((inner(50, v4), inner(69, v6)), (0, 0));
    }
}
