//! Addresses of the underlay: subnets, and nodes dealt out among them in turn. Pure.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// One address of each family.
pub(crate) type Addresses = (Ipv4Addr, Ipv6Addr);

/// A subnet of the underlay, counted from 0. Its switch is in the control plane's namespace, which
/// routes between subnets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet(u8);

impl Subnet {
    /// The first one, where the API server's address is.
    pub(crate) const FIRST: Self = Self(0);

    /// All of `count` subnets.
    pub(crate) fn all(count: u8) -> impl Iterator<Item = Self> {
        (0..count).map(Self)
    }

    /// Where a node is, one of `count` subnets; nodes are counted from 1.
    pub(crate) fn of_node(index: u8, count: u8) -> Self {
        Self((index - 1) % count)
    }

    /// The name of its switch.
    pub(crate) fn switch(self) -> String {
        format!("ul{}", self.0)
    }

    /// Its prefix of each family.
    pub(crate) fn prefixes(self) -> [String; 2] {
        let (v4, v6) = self.address(0);
        [format!("{v4}/24"), format!("{v6}/64")]
    }

    /// The router's addresses in it.
    pub(crate) const fn router(self) -> Addresses {
        self.address(1)
    }

    /// A node's addresses in it: n1 is 10.240.0.11 and `fd00:240::11`.
    pub(crate) fn node(self, index: u8) -> Addresses {
        self.address(10 + index)
    }

    /// The same decimal digits in both families.
    const fn address(self, host: u8) -> Addresses {
        let decimal = host as u16;
        let digits = (decimal / 100) * 256 + (decimal / 10 % 10) * 16 + decimal % 10;
        (
            Ipv4Addr::new(10, 240, self.0, host),
            Ipv6Addr::new(0xfd00, 0x240, 0, self.0 as u16, 0, 0, 0, digits),
        )
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [v4, v6] = self.prefixes();
        write!(f, "{v4} and {v6}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text((v4, v6): Addresses) -> [String; 2] {
        [v4.to_string(), v6.to_string()]
    }

    #[test]
    fn a_node_has_the_same_digits_in_both_families() {
        assert_eq!(text(Subnet(0).node(3)), ["10.240.0.13", "fd00:240::13"]);
        assert_eq!(text(Subnet(0).node(25)), ["10.240.0.35", "fd00:240::35"]);
        assert_eq!(text(Subnet(1).node(2)), ["10.240.1.12", "fd00:240:0:1::12"]);
    }

    #[test]
    fn nodes_are_dealt_out_in_turn() {
        let subnets: Vec<_> = (1..=4).map(|index| Subnet::of_node(index, 2)).collect();
        assert_eq!(subnets, [Subnet(0), Subnet(1), Subnet(0), Subnet(1)]);
    }

    #[test]
    fn subnets_have_prefixes_and_a_router_of_their_own() {
        let texts: Vec<_> = Subnet::all(2).map(|subnet| subnet.to_string()).collect();
        assert_eq!(
            texts,
            [
                "10.240.0.0/24 and fd00:240::/64",
                "10.240.1.0/24 and fd00:240:0:1::/64"
            ]
        );
        assert_eq!(text(Subnet(1).router()), ["10.240.1.1", "fd00:240:0:1::1"]);
    }
}
