//! Ranges and range sets in host-local's words, checked once; below here nothing checks again.
//!
//! A [`RangeSet`] gives one address to each attachment. It is read as a ring: the addresses of its
//! ranges one after another, each with a position from 0, the last followed by the first.

use std::fmt;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::address::{from_bits, is_v4, to_bits};
use crate::error::RangeError;

/// A run of addresses inside of one subnet, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    subnet: IpNetwork,
    v4: bool,
    /// First and last address as numbers: every allocation compares all leases with them.
    start: u128,
    end: u128,
    gateway: Option<IpAddr>,
}

impl Range {
    /// A range by host-local's rules: the gateway is the subnet's first address unless given, the
    /// range runs from there to the last address that is not IPv4's broadcast address. The gateway
    /// need not be inside of the subnet.
    ///
    /// # Errors
    /// Host bits in the subnet, a subnet longer than /30 (IPv4) or /126 (IPv6), ends outside of it
    /// or in the wrong order.
    pub fn new(
        subnet: IpNetwork,
        start: Option<IpAddr>,
        end: Option<IpAddr>,
        gateway: Option<IpAddr>,
    ) -> Result<Self, RangeError> {
        let mut range = Self::pods(subnet)?;
        range.gateway = gateway.or(Some(range.first()));
        if let Some(start) = start {
            range.start = inside("rangeStart", start, subnet)?;
        }
        if let Some(end) = end {
            range.end = inside("rangeEnd", end, subnet)?;
        }
        if range.end < range.start {
            return Err(RangeError::Backwards {
                start: range.first(),
                end: range.last(),
            });
        }
        Ok(range)
    }

    /// A whole subnet whose pods reach their gateway by a link-local address: no address of it is
    /// the gateway.
    ///
    /// # Errors
    /// Host bits in the subnet, or a subnet longer than /30 (IPv4) or /126 (IPv6).
    pub fn pods(subnet: IpNetwork) -> Result<Self, RangeError> {
        let network = subnet.network();
        let v4 = is_v4(network);
        let longest = if v4 { 30 } else { 126 };
        if subnet.prefix() > longest {
            return Err(RangeError::TooSmall(subnet));
        }
        if subnet.ip() != network {
            let network = IpNetwork::new(network, subnet.prefix()).unwrap_or(subnet);
            return Err(RangeError::HostBits { subnet, network });
        }
        let start = to_bits(network) + 1;
        let end = to_bits(subnet.broadcast()) - u128::from(v4);
        Ok(Self {
            subnet,
            v4,
            start,
            end,
            gateway: None,
        })
    }

    /// The subnet whose prefix length the addresses get.
    #[must_use]
    pub fn subnet(&self) -> IpNetwork {
        self.subnet
    }

    /// The gateway that is reported with each address and never given out.
    #[must_use]
    pub fn gateway(&self) -> Option<IpAddr> {
        self.gateway
    }

    /// Whether `address` lies between both ends.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        is_v4(address) == self.v4 && (self.start..=self.end).contains(&to_bits(address))
    }

    /// Why `address` of this range is never given out: an operator may start a range at the network
    /// address, yet no host can use that one (RFC 4291 section 2.6.1 for IPv6).
    #[must_use]
    pub fn special(&self, address: IpAddr) -> Option<&'static str> {
        let v4 = is_v4(address);
        if Some(address) == self.gateway {
            Some("gateway")
        } else if address == self.subnet.network() {
            Some(if v4 {
                "network address"
            } else {
                "subnet-router anycast address"
            })
        } else if v4 && address == self.subnet.broadcast() {
            Some("broadcast address")
        } else {
            None
        }
    }

    /// Addresses of this range that [`Range::special`] names.
    pub(crate) fn specials(&self) -> impl Iterator<Item = IpAddr> + use<> {
        let range = *self;
        let (network, last) = (self.subnet.network(), self.subnet.broadcast());
        let gateway = self
            .gateway
            .filter(|gateway| *gateway != network && *gateway != last);
        [Some(network), Some(last), gateway]
            .into_iter()
            .flatten()
            .filter(move |address| range.contains(*address) && range.special(*address).is_some())
    }

    /// Number of addresses less one, so that it fits also for `::/0`.
    fn span(&self) -> u128 {
        self.end - self.start
    }

    fn first(&self) -> IpAddr {
        from_bits(self.start, self.v4)
    }

    fn last(&self) -> IpAddr {
        from_bits(self.end, self.v4)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.v4 == other.v4 && self.start <= other.end && other.start <= self.end
    }
}

fn inside(key: &'static str, address: IpAddr, subnet: IpNetwork) -> Result<u128, RangeError> {
    if subnet.contains(address) {
        Ok(to_bits(address))
    } else {
        Err(RangeError::Outside {
            key,
            address,
            subnet,
        })
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first(), self.last())
    }
}

/// Ranges of one family that do not overlap; an attachment gets one address from all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeSet {
    ranges: Vec<Range>,
}

impl RangeSet {
    /// Checks the ranges against each other.
    ///
    /// # Errors
    /// No range, two families, or ranges that share addresses.
    pub fn new(ranges: Vec<Range>) -> Result<Self, RangeError> {
        let first = ranges.first().ok_or(RangeError::Empty)?;
        if let Some(other) = ranges.iter().find(|range| range.v4 != first.v4) {
            return Err(RangeError::MixedFamilies {
                first: first.to_string(),
                second: other.to_string(),
            });
        }
        for (index, range) in ranges.iter().enumerate() {
            if let Some(other) = ranges[index + 1..]
                .iter()
                .find(|other| range.overlaps(other))
            {
                return Err(RangeError::Overlap {
                    first: range.to_string(),
                    second: other.to_string(),
                });
            }
        }
        Ok(Self { ranges })
    }

    /// The ranges in the order of the configuration.
    #[must_use]
    pub fn ranges(&self) -> &[Range] {
        &self.ranges
    }

    /// Whether the set's addresses are IPv4.
    #[must_use]
    pub fn is_v4(&self) -> bool {
        self.ranges[0].v4
    }

    /// The range that `address` belongs to.
    #[must_use]
    pub fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.ranges.iter().find(|range| range.contains(address))
    }

    /// Whether both sets share an address.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.ranges
            .iter()
            .any(|one| other.ranges.iter().any(|two| one.overlaps(two)))
    }

    /// Number of positions; saturates for sets as large as the whole of IPv6.
    pub(crate) fn size(&self) -> u128 {
        self.ranges.iter().fold(0, |sum, range| {
            sum.saturating_add(range.span()).saturating_add(1)
        })
    }

    /// Position of `address` on the ring.
    pub(crate) fn position(&self, address: IpAddr) -> Option<u128> {
        let mut base = 0_u128;
        for range in &self.ranges {
            if range.contains(address) {
                return Some(base.saturating_add(to_bits(address) - range.start));
            }
            base = base.saturating_add(range.span()).saturating_add(1);
        }
        None
    }

    /// The address at a position below [`RangeSet::size`].
    pub(crate) fn at(&self, position: u128) -> Option<IpAddr> {
        let mut rest = position;
        for range in &self.ranges {
            if rest <= range.span() {
                return Some(from_bits(range.start + rest, range.v4));
            }
            rest -= range.span() + 1;
        }
        None
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.ranges.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
