//! Pods that already run when policy first comes to the node: their links are known by the routes to their addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use fairlead_cni_netlink::{
    Family, Link, Neighbour, Netlink, NetlinkError, Route, RouteFilter, Target,
};
use fairlead_cni_node::owned::{ROUTE_PROTOCOL, is_host_link};
use fairlead_cni_node::policy::{Attach, PodName};
use fairlead_netpol_model::cluster::Pod;
use fairlead_netpol_model::tables::IfIndex;

/// What the kernel says of the links of pods.
#[derive(Debug, Default)]
pub(super) struct Running {
    links: Vec<Link>,
    routes: Vec<Route>,
    neighbours: Vec<Neighbour>,
}

impl Running {
    /// Asks the kernel about those of `links` that lead to pods.
    pub(super) fn read<'a>(
        netlink: &mut Netlink,
        links: impl Iterator<Item = &'a Link>,
    ) -> Result<Self, NetlinkError> {
        let mut found = Self {
            links: links
                .filter(|link| is_host_link(link.name.as_str()))
                .cloned()
                .collect(),
            ..Self::default()
        };
        if found.links.is_empty() {
            return Ok(found);
        }
        for family in [Family::V4, Family::V6] {
            let filter = RouteFilter {
                family,
                table: None,
                protocol: Some(ROUTE_PROTOCOL),
                link: None,
            };
            found.routes.extend(netlink.routes_where(filter)?);
            found.neighbours.extend(netlink.neighbours(family)?);
        }
        Ok(found)
    }

    /// What the plugin would have told of each link that has the address of one of `pods`.
    pub(super) fn notes<'a>(&self, pods: impl Iterator<Item = &'a Pod>) -> Vec<Attach> {
        let mut owners: BTreeMap<IpAddr, &Pod> = BTreeMap::new();
        for pod in pods.filter(|pod| pod.is_peer()) {
            owners.extend(pod.addresses.iter().map(|address| (*address, pod)));
        }
        let note = |link: &Link| {
            let addresses = self.addresses(link.index.0);
            let pod = addresses.iter().find_map(|address| owners.get(address))?;
            let pod_mac = addresses
                .iter()
                .find_map(|address| self.mac(link.index.0, *address))?;
            Some(Attach {
                network: String::new(),
                container: String::new(),
                ifname: String::new(),
                host_link: link.name.to_string(),
                if_index: link.index.0,
                pod: PodName {
                    namespace: pod.name.namespace.to_string(),
                    name: pod.name.name.to_string(),
                },
                uid: pod.uid.to_string(),
                addresses,
                pod_mac,
                host_mac: link.mac?.0,
                bridge: None,
            })
        };
        self.links.iter().filter_map(note).collect()
    }

    /// The addresses that are routed to a link.
    fn addresses(&self, link: IfIndex) -> Vec<IpAddr> {
        let leads = |route: &&Route| match &route.target {
            Target::Paths(paths) => paths
                .first()
                .and_then(|path| path.link)
                .is_some_and(|to| to.0 == link),
            _ => false,
        };
        let whole = |route: &&Route| {
            let width = if route.destination.is_ipv4() { 32 } else { 128 };
            route.destination.prefix() == width
        };
        let routes = self.routes.iter().filter(leads).filter(whole);
        routes.map(|route| route.destination.ip()).collect()
    }

    fn mac(&self, link: IfIndex, address: IpAddr) -> Option<[u8; 6]> {
        let of = |n: &&Neighbour| n.link.0 == link && n.ip == address;
        self.neighbours.iter().find(of)?.mac.map(|mac| mac.0)
    }
}
