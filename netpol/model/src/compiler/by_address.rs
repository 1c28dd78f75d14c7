//! A table by address, a part for each family: the addresses of one family alone take a quarter of those of any.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;

/// Values by address, in their order, IPv4 first.
#[derive(Debug)]
pub(crate) struct ByAddress<V> {
    v4: BTreeMap<Ipv4Addr, V>,
    v6: BTreeMap<Ipv6Addr, V>,
}

impl<V> Default for ByAddress<V> {
    fn default() -> Self {
        Self {
            v4: BTreeMap::new(),
            v6: BTreeMap::new(),
        }
    }
}

impl<V> ByAddress<V> {
    pub(crate) fn get(&self, address: IpAddr) -> Option<&V> {
        match address {
            IpAddr::V4(v4) => self.v4.get(&v4),
            IpAddr::V6(v6) => self.v6.get(&v6),
        }
    }

    pub(crate) fn insert(&mut self, address: IpAddr, value: V) -> Option<V> {
        match address {
            IpAddr::V4(v4) => self.v4.insert(v4, value),
            IpAddr::V6(v6) => self.v6.insert(v6, value),
        }
    }

    pub(crate) fn remove(&mut self, address: IpAddr) -> Option<V> {
        match address {
            IpAddr::V4(v4) => self.v4.remove(&v4),
            IpAddr::V6(v6) => self.v6.remove(&v6),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (IpAddr, &V)> {
        let v4 = self.v4.iter().map(|(at, value)| (IpAddr::V4(*at), value));
        let v6 = self.v6.iter().map(|(at, value)| (IpAddr::V6(*at), value));
        v4.chain(v6)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = IpAddr> {
        self.iter().map(|(address, _)| address)
    }

    /// Those in a block.
    pub(crate) fn inside(&self, cidr: IpNetwork) -> impl Iterator<Item = (IpAddr, &V)> {
        let (v4, v6) = match cidr {
            IpNetwork::V4(cidr) => (Some(self.v4.range(cidr.network()..=cidr.broadcast())), None),
            IpNetwork::V6(cidr) => (None, Some(self.v6.range(cidr.network()..=cidr.broadcast()))),
        };
        let v4 = v4.into_iter().flatten();
        let v6 = v6.into_iter().flatten();
        v4.map(|(at, value)| (IpAddr::V4(*at), value))
            .chain(v6.map(|(at, value)| (IpAddr::V6(*at), value)))
    }
}
