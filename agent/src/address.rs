//! Which address of a node others reach it by: at most one of each family.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use fairlead_cni_netlink::LinkName;
use fairlead_kubeapi::Node;
use ipnetwork::IpNetwork;

use crate::conditions::Condition;
use crate::config::AddressSource;

/// The annotation by which nodes tell each other the addresses that only they can know.
pub const PUBLISHED: &str = "fairlead.io/node-address";

/// A node's addresses, at most one of each family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl Addresses {
    /// The first of each family in `all`.
    pub fn first_of(all: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut addresses = Self::default();
        for address in all {
            match address {
                IpAddr::V4(v4) => addresses.v4 = addresses.v4.or(Some(v4)),
                IpAddr::V6(v6) => addresses.v6 = addresses.v6.or(Some(v6)),
            }
        }
        addresses
    }

    /// The address of the family of `range`.
    #[must_use]
    pub fn of_family(self, range: IpNetwork) -> Option<IpAddr> {
        match range {
            IpNetwork::V4(_) => self.v4.map(IpAddr::V4),
            IpNetwork::V6(_) => self.v6.map(IpAddr::V6),
        }
    }

    /// Those that are there, IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = IpAddr> {
        self.v4
            .map(IpAddr::V4)
            .into_iter()
            .chain(self.v6.map(IpAddr::V6))
    }

    /// As the annotation [`PUBLISHED`] holds them: separated by commas.
    #[must_use]
    pub fn published(self) -> String {
        self.iter()
            .map(|a| a.to_string())
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// An address of this node, as the kernel has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalAddress {
    /// The interface that carries it.
    pub link: LinkName,
    /// The address.
    pub ip: IpAddr,
}

impl AddressSource {
    /// The annotation to read from every Node.
    #[must_use]
    pub fn annotation(&self) -> Option<&str> {
        match self {
            Self::InternalIp => None,
            Self::Interface(_) | Self::Cidrs(_) => Some(PUBLISHED),
            Self::Annotation(key) => Some(key),
        }
    }

    /// Whether this node's own addresses come from its kernel and have to be told to the others.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Interface(_) | Self::Cidrs(_))
    }

    /// The addresses of this very node, where only its kernel knows them.
    #[must_use]
    pub fn of_kernel(&self, local: &[LocalAddress]) -> Addresses {
        let usable = local.iter().filter(|address| is_usable(address.ip));
        match self {
            Self::Interface(name) => {
                Addresses::first_of(usable.filter(|a| a.link == *name).map(|a| a.ip))
            }
            Self::Cidrs(cidrs) => Addresses::first_of(
                usable
                    .map(|a| a.ip)
                    .filter(|ip| cidrs.iter().any(|cidr| cidr.contains(*ip))),
            ),
            Self::InternalIp | Self::Annotation(_) => Addresses::default(),
        }
    }

    /// The addresses that `node` tells the cluster.
    ///
    /// # Errors
    ///
    /// [`Condition::BadAnnotation`] when the annotation holds anything but addresses.
    pub fn of_node(&self, node: &Node) -> Result<Addresses, Condition> {
        let internal = || node.internal_ips.iter().copied();
        let told = match (self, &node.annotation) {
            (Self::InternalIp, _) => return Ok(Addresses::first_of(internal())),
            (Self::Cidrs(cidrs), None) => {
                let inside = |ip: &IpAddr| cidrs.iter().any(|cidr| cidr.contains(*ip));
                return Ok(Addresses::first_of(internal().filter(inside)));
            }
            (_, None) => return Ok(Addresses::default()),
            (_, Some(told)) => told,
        };
        let parsed: Result<Vec<IpAddr>, _> = told.split(',').map(|a| a.trim().parse()).collect();
        parsed
            .map(Addresses::first_of)
            .map_err(|_| Condition::BadAnnotation {
                node: node.name.clone(),
                annotation: self.annotation().unwrap_or_default().to_owned(),
                value: told.clone(),
            })
    }

    /// What the configuration calls this source.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::InternalIp => "its InternalIPs".to_owned(),
            Self::Interface(name) => format!("its interface {name}"),
            Self::Cidrs(_) => "node.address.cidrs".to_owned(),
            Self::Annotation(key) => format!("its annotation {key}"),
        }
    }
}

/// Whether other nodes could use `ip`: neither loopback nor link-local nor unspecified.
fn is_usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !v4.is_loopback() && !v4.is_link_local() && !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local() && !v6.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(internal: &[&str], annotation: Option<&str>) -> Node {
        Node {
            name: "n1".to_owned(),
            internal_ips: internal.iter().map(|a| a.parse().unwrap()).collect(),
            pod_ranges: vec![],
            annotation: annotation.map(str::to_owned),
            network_available: false,
        }
    }

    fn local(link: &str, ip: &str) -> LocalAddress {
        LocalAddress {
            link: link.parse().unwrap(),
            ip: ip.parse().unwrap(),
        }
    }

    #[test]
    fn the_first_internal_ip_of_each_family_counts() {
        let node = node(&["2001:db8::1", "192.0.2.1", "192.0.2.2"], None);
        let found = AddressSource::InternalIp.of_node(&node).unwrap();
        assert_eq!(found.published(), "192.0.2.1,2001:db8::1");
    }

    #[test]
    fn an_interface_gives_its_first_global_addresses() {
        let source = AddressSource::Interface("eth1".parse().unwrap());
        let found = source.of_kernel(&[
            local("eth0", "192.0.2.1"),
            local("eth1", "169.254.3.4"),
            local("eth1", "fe80::1"),
            local("eth1", "198.51.100.1"),
            local("eth1", "2001:db8:1::1"),
        ]);
        assert_eq!(found.published(), "198.51.100.1,2001:db8:1::1");
        assert_eq!(source.annotation(), Some(PUBLISHED));
    }

    #[test]
    fn ranges_choose_among_the_addresses_of_the_kernel_and_of_peers() {
        let source = AddressSource::Cidrs(vec!["198.51.100.0/24".parse().unwrap()]);
        let found = source.of_kernel(&[local("a", "192.0.2.1"), local("b", "198.51.100.1")]);
        assert_eq!(found.published(), "198.51.100.1");
        let peer = source
            .of_node(&node(&["192.0.2.2", "198.51.100.2"], None))
            .unwrap();
        assert_eq!(peer.published(), "198.51.100.2");
        let told = source
            .of_node(&node(&["192.0.2.2"], Some("198.51.100.3")))
            .unwrap();
        assert_eq!(told.published(), "198.51.100.3");
    }

    #[test]
    fn an_annotation_holds_one_address_of_each_family() {
        let source = AddressSource::Annotation("x/y".to_owned());
        let found = source
            .of_node(&node(&["192.0.2.1"], Some("198.51.100.1, 2001:db8::2")))
            .unwrap();
        assert_eq!(found.published(), "198.51.100.1,2001:db8::2");
        assert_eq!(
            source.of_node(&node(&["192.0.2.1"], None)).unwrap(),
            Addresses::default()
        );
        assert_eq!(
            source
                .of_node(&node(&[], Some("here")))
                .unwrap_err()
                .to_string(),
            "node n1: annotation x/y is \"here\", expected addresses separated by commas"
        );
    }
}
