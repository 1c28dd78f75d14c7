//! What a bridged attachment looks like: pure, from the IPAM result to what has to stand in the kernel.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairlead_cni_netlink::{Address, Family, LinkIndex, Path, Route, Scope, Target};
use fairlead_cni_spec::{AddResult, Ip};
use ipnetwork::IpNetwork;

use super::conf::Conf;

/// Index of the container's interface in the result, after the bridge and the host end.
pub(super) const CONTAINER: u32 = 2;

/// Addresses and routes of the container and of the bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The container's addresses, with gateway and interface as the result shows them.
    pub(super) ips: Vec<Ip>,
    /// The container's routes, as the result shows them.
    pub(super) routes: Vec<fairlead_cni_spec::Route>,
    /// The bridge's own addresses, when it is the gateway.
    pub(super) gateways: Vec<IpNetwork>,
    dad: bool,
}

impl Plan {
    /// Completes what IPAM gave: the first address of a subnet is its gateway when none is named and the
    /// bridge is to be one, and the default route leads there when it is to be that.
    pub(super) fn new(conf: &Conf, taken: &AddResult) -> Self {
        let mut plan = Self {
            routes: taken.routes.clone(),
            dad: conf.enable_dad,
            ..Self::default()
        };
        for ip in &taken.ips {
            let first = || conf.is_gateway.then(|| first_of(ip.address));
            let gateway = ip.gateway.or_else(first);
            plan.ips.push(Ip {
                address: ip.address,
                gateway,
                interface: Some(CONTAINER),
            });
            let (true, Some(gateway)) = (conf.is_gateway, gateway) else {
                continue;
            };
            plan.gateways
                .extend(IpNetwork::new(gateway, ip.address.prefix()).ok());
            let default = Family::of(gateway).everything();
            let named =
                |route: &fairlead_cni_spec::Route| route.dst == default && route.gw.is_some();
            if conf.is_default_gateway && !plan.routes.iter().any(named) {
                plan.routes
                    .push(fairlead_cni_spec::Route::new(default, Some(gateway)));
            }
        }
        plan
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.ips
            .iter()
            .any(|ip| Family::of(ip.address.ip()) == family)
    }

    /// The container's addresses on the link `index`.
    pub(super) fn addresses(&self, index: LinkIndex) -> Vec<Address> {
        let address = |ip: &Ip| {
            let address = Address::new(index, ip.address);
            if self.dad { address } else { address.nodad() }
        };
        self.ips.iter().map(address).collect()
    }

    /// The container's routes on the link `index`. A route without next hop takes the gateway of its family
    /// if there is one; several next hops for one destination share its load.
    pub(super) fn kernel_routes(&self, index: LinkIndex) -> Vec<Route> {
        let mut routes: BTreeMap<_, Route> = BTreeMap::new();
        for route in &self.routes {
            let via = route
                .gw
                .or_else(|| self.gateway(Family::of(route.dst.ip())));
            let wanted = kernel_route(route, via, index);
            match routes.get_mut(&wanted.key()) {
                None => drop(routes.insert(wanted.key(), wanted)),
                Some(Route {
                    target: Target::Paths(paths),
                    ..
                }) => {
                    let path = Path {
                        via,
                        link: Some(index),
                        weight: 1,
                        ..Path::default()
                    };
                    if paths.iter().all(|known| known.via != via) {
                        paths.push(path);
                    }
                }
                Some(_) => {}
            }
        }
        let mut routes: Vec<Route> = routes.into_values().collect();
        // Routes without next hop first: one with a next hop may need them.
        routes.sort_by_key(|route| matches!(&route.target, Target::Paths(paths) if paths.iter().any(|p| p.via.is_some())));
        routes
    }

    fn gateway(&self, family: Family) -> Option<IpAddr> {
        let of_family = |ip: &&Ip| Family::of(ip.address.ip()) == family;
        self.ips.iter().filter(of_family).find_map(|ip| ip.gateway)
    }
}

fn kernel_route(route: &fairlead_cni_spec::Route, via: Option<IpAddr>, index: LinkIndex) -> Route {
    let mut wanted = match via {
        Some(via) => Route::via(route.dst, via, Some(index)),
        None => Route::on_link(route.dst, index),
    };
    wanted.mtu = route.mtu;
    wanted.advmss = route.advmss;
    wanted.metric = route.priority.unwrap_or(wanted.metric);
    wanted.table = route.table.unwrap_or(wanted.table);
    if let Some(scope) = route.scope.and_then(|scope| u8::try_from(scope).ok()) {
        wanted.scope = match scope {
            0 => Scope::Universe,
            200 => Scope::Site,
            253 => Scope::Link,
            254 => Scope::Host,
            255 => Scope::Nowhere,
            other => Scope::Other(other),
        };
    }
    wanted
}

/// The address after the network's own.
fn first_of(network: IpNetwork) -> IpAddr {
    match network {
        IpNetwork::V4(v4) => u32::from(v4.network()).wrapping_add(1).to_be_bytes().into(),
        IpNetwork::V6(v6) => u128::from(v6.network())
            .wrapping_add(1)
            .to_be_bytes()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use fairlead_cni_netlink::LinkName;

    use super::*;

    fn conf(is_gateway: bool, is_default_gateway: bool) -> Conf {
        Conf {
            bridge: LinkName::new("cni0").unwrap(),
            is_gateway,
            is_default_gateway,
            force_address: false,
            ip_masq: false,
            mtu: None,
            hairpin_mode: false,
            promisc_mode: false,
            mac_spoof_check: false,
            enable_dad: false,
            disable_container_interface: false,
            port_isolation: false,
            vlan: super::super::conf::Vlan::default(),
        }
    }

    fn taken(ips: &[(&str, Option<&str>)], routes: &[(&str, Option<&str>)]) -> AddResult {
        let parse = |text: &str| text.parse::<IpAddr>().unwrap();
        AddResult {
            ips: ips
                .iter()
                .map(|(a, gw)| Ip {
                    address: a.parse().unwrap(),
                    gateway: gw.map(parse),
                    interface: None,
                })
                .collect(),
            routes: routes
                .iter()
                .map(|(d, gw)| fairlead_cni_spec::Route::new(d.parse().unwrap(), gw.map(parse)))
                .collect(),
            ..AddResult::default()
        }
    }

    fn shown(routes: &[Route]) -> Vec<String> {
        let via = |target: &Target| match target {
            Target::Paths(paths) => paths
                .iter()
                .filter_map(|p| p.via)
                .map(|via| via.to_string())
                .collect::<Vec<_>>()
                .join("+"),
            _ => String::new(),
        };
        routes
            .iter()
            .map(|r| format!("{} {}", r.destination, via(&r.target)))
            .collect()
    }

    #[test]
    fn a_bridge_without_gateway_changes_nothing() {
        let plan = Plan::new(&conf(false, false), &taken(&[("10.1.0.5/16", None)], &[]));
        assert_eq!(plan.ips[0].gateway, None);
        assert!(plan.gateways.is_empty() && plan.routes.is_empty());
    }

    #[test]
    fn the_gateway_is_the_first_address_of_the_subnet() {
        let plan = Plan::new(
            &conf(true, false),
            &taken(&[("10.1.2.5/16", None), ("fd00:1::5/64", None)], &[]),
        );
        let gateways: Vec<String> = plan.gateways.iter().map(ToString::to_string).collect();
        assert_eq!(gateways, ["10.1.0.1/16", "fd00:1::1/64"]);
        assert!(plan.routes.is_empty());
    }

    #[test]
    fn a_default_gateway_adds_the_default_route_once_for_each_family() {
        let ips = [
            ("10.1.2.5/16", None),
            ("10.2.2.5/16", None),
            ("fd00:1::5/64", Some("fd00:1::9")),
        ];
        let plan = Plan::new(&conf(true, true), &taken(&ips, &[]));
        assert_eq!(
            shown(&plan.kernel_routes(LinkIndex(2))),
            ["0.0.0.0/0 10.1.0.1", "::/0 fd00:1::9"]
        );
        let named = Plan::new(
            &conf(true, true),
            &taken(&ips[..1], &[("0.0.0.0/0", Some("10.1.0.7"))]),
        );
        assert_eq!(
            shown(&named.kernel_routes(LinkIndex(2))),
            ["0.0.0.0/0 10.1.0.7"]
        );
    }

    #[test]
    fn a_route_without_next_hop_takes_the_gateway_of_its_family() {
        let plan = Plan::new(
            &conf(false, false),
            &taken(
                &[("10.1.2.5/16", Some("10.1.0.1"))],
                &[("0.0.0.0/0", None), ("fd01::/64", None)],
            ),
        );
        assert_eq!(
            shown(&plan.kernel_routes(LinkIndex(2))),
            ["fd01::/64 ", "0.0.0.0/0 10.1.0.1"]
        );
    }

    #[test]
    fn several_next_hops_share_and_the_same_one_counts_once() {
        let routes = [
            ("10.9.0.0/16", Some("10.1.0.1")),
            ("10.9.0.0/16", Some("10.1.0.2")),
            ("10.9.0.0/16", Some("10.1.0.1")),
        ];
        let plan = Plan::new(
            &conf(false, false),
            &taken(&[("10.1.2.5/16", None)], &routes),
        );
        assert_eq!(
            shown(&plan.kernel_routes(LinkIndex(2))),
            ["10.9.0.0/16 10.1.0.1+10.1.0.2"]
        );
    }
}
