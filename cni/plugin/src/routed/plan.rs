//! What a routed attachment looks like: pure, from addresses to what has to stand in the kernel.

use std::net::{IpAddr, Ipv6Addr};

use fairlead_cni_netlink::{
    Address, Family, Ipv4Conf, LinkIndex, LinkName, Mac, Neighbour, Route, RouteKind, Scope, Sysctl,
};
use fairlead_cni_node::owned::{GATEWAY_V4, GATEWAY_V6, ROUTE_PROTOCOL};
use fairlead_cni_spec::{AddResult, Dns, Interface, Ip};
use ipnetwork::{IpNetwork, Ipv6Network};

use crate::error::Result;
use crate::identity::Identity;
use crate::sysctls::Wanted;

/// Index of the pod's interface in the result.
const POD: u32 = 1;

/// `RT_TABLE_LOCAL`, `RTPROT_KERNEL`, `IP6_RT_PRIO_ADDRCONF`: how the kernel's route for groups is found.
const LOCAL_TABLE: u32 = 255;
const BY_KERNEL: u8 = 2;
const BY_ADDRCONF: u32 = 256;

/// Addresses of groups (RFC 4291 section 2.7).
const GROUPS: IpNetwork =
    match Ipv6Network::new_checked(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8) {
        Some(groups) => IpNetwork::V6(groups),
        None => unreachable!(),
    };

/// The wanted state of one attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The host end.
    pub(super) host: LinkName,
    /// The pod's end.
    pub(super) ifname: LinkName,
    /// The host end's alias.
    pub(super) label: String,
    /// Of both ends, in bytes.
    pub(super) mtu: u32,
    /// The host end's hardware address.
    pub(super) host_mac: Mac,
    /// The pod end's hardware address.
    pub(super) pod_mac: Mac,
    /// The pod's addresses in the order of the node's ranges.
    pub(super) addresses: Vec<IpAddr>,
}

/// What belongs on one end of the pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) addresses: Vec<Address>,
    pub(super) neighbours: Vec<Neighbour>,
    pub(super) routes: Vec<Route>,
}

/// The next hop of a pod's default route.
pub(super) fn gateway(family: Family) -> IpAddr {
    match family {
        Family::V4 => GATEWAY_V4.into(),
        Family::V6 => GATEWAY_V6.into(),
    }
}

/// The network of one address.
pub(super) fn alone(address: IpAddr) -> IpNetwork {
    address.into()
}

impl Plan {
    /// The plan for the addresses that were taken.
    pub(super) fn new(
        id: &Identity<'_>,
        ifname: LinkName,
        mtu: u32,
        mac: Option<Mac>,
        taken: &AddResult,
    ) -> Result<Self> {
        Ok(Self {
            host: id.host_link()?,
            ifname,
            label: id.label(),
            mtu,
            host_mac: id.host_mac(),
            pod_mac: mac.unwrap_or_else(|| id.pod_mac()),
            addresses: taken.ips.iter().map(|ip| ip.address.ip()).collect(),
        })
    }

    /// The families in use, IPv4 first.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(|family| self.has(*family))
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|ip| Family::of(*ip) == family)
    }

    /// The pod's end, whose number is `index`.
    pub(super) fn pod_side(&self, index: LinkIndex) -> Side {
        let address = |ip: &IpAddr| Address::new(index, alone(*ip)).nodad();
        let mut routes = Vec::new();
        for family in self.families() {
            if family == Family::V4 {
                // IPv4 takes a gateway only when a route says that it is on the link.
                routes.push(on_link(gateway(family), index));
            }
            routes.push(Route::via(
                family.everything(),
                gateway(family),
                Some(index),
            ));
        }
        let neighbour = |family| Neighbour::permanent(index, gateway(family), self.host_mac);
        Side {
            addresses: self.addresses.iter().map(address).collect(),
            neighbours: self.families().map(neighbour).collect(),
            routes,
        }
    }

    /// The host's end, whose number is `index`.
    pub(super) fn host_side(&self, index: LinkIndex) -> Side {
        let neighbour = |ip: &IpAddr| Neighbour::permanent(index, *ip, self.pod_mac);
        let route = |ip: &IpAddr| Route {
            protocol: ROUTE_PROTOCOL,
            ..on_link(*ip, index)
        };
        Side {
            addresses: Vec::new(),
            neighbours: self.addresses.iter().map(neighbour).collect(),
            routes: self.addresses.iter().map(route).collect(),
        }
    }

    /// The route for groups that the kernel gives each link with IPv6 (`addrconf_add_mroute`). No pod joins
    /// groups with its host, and these routes cost the next pod time: its own is looked for behind them, and
    /// setting a link up walks all routes there are (`rt6_sync_up`).
    pub(super) fn groups(index: LinkIndex) -> Route {
        Route {
            table: LOCAL_TABLE,
            protocol: BY_KERNEL,
            kind: RouteKind::Multicast,
            metric: BY_ADDRCONF,
            ..Route::on_link(GROUPS, index)
        }
    }

    /// The host end's configuration for IPv4, to be set before it is up. A pod must not be told to go
    /// elsewhere, tell the host to, or send from another's address (RFC 3704; the host has a route back to
    /// each).
    pub(super) fn host_ipv4(&self) -> &'static [(Ipv4Conf, u32)] {
        if self.has(Family::V4) {
            &[
                (Ipv4Conf::SendRedirects, 0),
                (Ipv4Conf::AcceptRedirects, 0),
                (Ipv4Conf::RpFilter, 1),
            ]
        } else {
            &[]
        }
    }

    /// The host end's configuration for IPv6, to be set before it is up: a pod must not move the host's
    /// routes.
    pub(super) fn host_ipv6(&self) -> Wanted {
        let keys: &[_] = if self.has(Family::V6) {
            &[("accept_ra", "0"), ("accept_redirects", "0")]
        } else {
            // Setting a link up walks all IPv6 routes of the node (`rt6_sync_up`), of which each host end
            // with IPv6 has some: without, a pod costs the same beside many others.
            &[("disable_ipv6", "1")]
        };
        let key = |(key, value)| (Sysctl::interface(Family::V6, &self.host, key), value);
        keys.iter().copied().map(key).collect()
    }

    /// Switches IPv6 on at one of the ends: a runtime may start namespaces without, a host its new links.
    pub(super) fn with_ipv6(end: &LinkName) -> Wanted {
        vec![(Sysctl::interface(Family::V6, end, "disable_ipv6"), "0")]
    }

    /// The result of ADD.
    pub(super) fn result(&self, sandbox: &str, dns: Dns) -> AddResult {
        let interface = |name: &LinkName, mac: Mac| Interface {
            name: name.to_string(),
            mac: Some(mac.to_string()),
            mtu: Some(self.mtu),
            ..Interface::default()
        };
        let ip = |address: &IpAddr| Ip {
            address: alone(*address),
            gateway: Some(gateway(Family::of(*address))),
            interface: Some(POD),
        };
        let route = |family: Family| {
            fairlead_cni_spec::Route::new(family.everything(), Some(gateway(family)))
        };
        AddResult {
            interfaces: vec![
                interface(&self.host, self.host_mac),
                Interface {
                    sandbox: Some(sandbox.to_owned()),
                    ..interface(&self.ifname, self.pod_mac)
                },
            ],
            ips: self.addresses.iter().map(ip).collect(),
            routes: self.families().map(route).collect(),
            dns,
        }
    }
}

fn on_link(ip: IpAddr, index: LinkIndex) -> Route {
    let scope = if ip.is_ipv4() {
        Scope::Link
    } else {
        Scope::Universe
    };
    Route {
        scope,
        ..Route::on_link(alone(ip), index)
    }
}

#[cfg(test)]
mod tests {
    use fairlead_cni_spec::{ContainerId, IfName, NetworkName, Version};

    use super::*;

    fn plan(addresses: &[&str]) -> Plan {
        let network = NetworkName::parse("fairlead").unwrap();
        let container = ContainerId::parse("c1").unwrap();
        let ifname = IfName::parse("eth0").unwrap();
        let id = Identity::new(&network, &container, &ifname);
        let ip = |text: &&str| Ip {
            address: text.parse().unwrap(),
            gateway: None,
            interface: None,
        };
        let taken = AddResult {
            ips: addresses.iter().map(ip).collect(),
            ..AddResult::default()
        };
        Plan::new(&id, LinkName::new("eth0").unwrap(), 1450, None, &taken).unwrap()
    }

    #[test]
    fn a_dual_stack_pod_has_an_address_and_a_default_route_of_each_family() {
        let side = plan(&["10.244.1.5/24", "fd00:244:1::5/64"]).pod_side(LinkIndex(2));
        let addresses: Vec<String> = side.addresses.iter().map(|a| a.ip.to_string()).collect();
        assert_eq!(addresses, ["10.244.1.5/32", "fd00:244:1::5/128"]);
        let routes: Vec<String> = side
            .routes
            .iter()
            .map(|r| r.destination.to_string())
            .collect();
        assert_eq!(routes, ["169.254.1.1/32", "0.0.0.0/0", "::/0"]);
        let neighbours: Vec<IpAddr> = side.neighbours.iter().map(|n| n.ip).collect();
        assert_eq!(
            neighbours,
            [IpAddr::from(GATEWAY_V4), IpAddr::from(GATEWAY_V6)]
        );
    }

    #[test]
    fn the_host_has_one_route_for_each_address_with_our_protocol_number() {
        let side = plan(&["10.244.1.5/24", "fd00:244:1::5/64"]).host_side(LinkIndex(7));
        assert!(side.addresses.is_empty());
        assert_eq!(side.neighbours.len(), 2);
        let routes: Vec<String> = side
            .routes
            .iter()
            .map(|r| r.destination.to_string())
            .collect();
        assert_eq!(routes, ["10.244.1.5/32", "fd00:244:1::5/128"]);
        assert!(
            side.routes
                .iter()
                .all(|route| route.protocol == ROUTE_PROTOCOL)
        );
    }

    #[test]
    fn a_single_stack_pod_is_told_nothing_of_the_other_family() {
        let plan = plan(&["fd00:244:1::5/64"]);
        let side = plan.pod_side(LinkIndex(2));
        assert_eq!(
            (
                side.addresses.len(),
                side.neighbours.len(),
                side.routes.len()
            ),
            (1, 1, 1)
        );
        assert_eq!(plan.result("/run/netns/a", Dns::default()).routes.len(), 1);
    }

    #[test]
    fn the_result_keeps_the_order_of_the_ranges() {
        let result =
            plan(&["fd00:244:1::5/64", "10.244.1.5/24"]).result("/run/netns/a", Dns::default());
        let json = result.to_version(Version::V1_1_0).unwrap();
        assert_eq!(json["ips"][0]["address"], "fd00:244:1::5/128");
        assert_eq!(json["ips"][0]["gateway"], "fe80::1");
        assert_eq!(json["ips"][0]["interface"], 1);
        assert_eq!(json["ips"][1]["address"], "10.244.1.5/32");
        assert_eq!(json["interfaces"][1]["sandbox"], "/run/netns/a");
        assert_eq!(json["interfaces"][1]["mtu"], 1450);
    }
}
