//! The kernel's state in a namespace as lines that can be compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::net::IpAddr;

use anyhow::Result;
use fairlead_cni_netlink::nft::{Expr, Nft};
use fairlead_cni_netlink::{
    Address, AddressFlags, Family, Link, LinkFlags, LinkIndex, NeighbourState, Netlink, Route,
};

use crate::namespace::Namespace;

/// The local table: its entries of protocol `kernel` follow from addresses.
const LOCAL: u32 = 255;
const KERNEL: u8 = 2;

/// The kernel's own link-local addresses (`IFAPROT_KERNEL_LL`).
const KERNEL_LINK_LOCAL: u8 = 3;

/// What somebody set up in a namespace: links, addresses, routes, permanent neighbours and forwarding
/// entries, rules, nexthop objects, nftables. What comes and goes by itself (counters, carrier, learnt neighbours,
/// duplicate address detection, the kernel's own link-local addresses) is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    lines: BTreeSet<String>,
}

impl Snapshot {
    /// The state of `ns` now.
    pub fn of(ns: &Namespace) -> Result<Self> {
        let mut netlink = ns.netlink()?;
        let links = netlink.links()?;
        let names = Names(
            links
                .iter()
                .map(|link| (link.index, link.name.to_string()))
                .collect(),
        );
        let mut state: BTreeSet<String> = links.iter().map(|link| names.link(link)).collect();
        add_addresses(&mut state, &mut netlink, &names)?;
        add_routes(&mut state, &mut netlink, &names)?;
        add_neighbours(&mut state, &mut netlink, &names)?;
        add_nftables(&mut state, &mut ns.nft()?)?;
        Ok(Self { lines: state })
    }

    /// What `later` has lost (`-`) and gained (`+`), one a line; empty when nothing differs.
    #[must_use]
    pub fn diff(&self, later: &Self) -> String {
        let mut text = String::new();
        for gone in self.lines.difference(&later.lines) {
            let _ = writeln!(text, "- {gone}");
        }
        for new in later.lines.difference(&self.lines) {
            let _ = writeln!(text, "+ {new}");
        }
        text
    }

    /// The state, one object a line.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

/// Link names by number, so that lines stay readable.
struct Names(HashMap<LinkIndex, String>);

impl Names {
    fn of(&self, link: LinkIndex) -> String {
        self.0
            .get(&link)
            .cloned()
            .unwrap_or_else(|| format!("link {link}"))
    }

    fn link(&self, link: &Link) -> String {
        let settled = LinkFlags::UP | LinkFlags::PROMISC | LinkFlags::NO_ARP;
        let flags = LinkFlags(link.flags.0 & settled.0);
        let mut text = format!(
            "link {} {:?} {flags} mtu {}",
            link.name, link.kind, link.mtu
        );
        if let Some(mac) = link.mac {
            let _ = write!(text, " mac {mac}");
        }
        if let Some(master) = link.master {
            let _ = write!(text, " master {} {:?}", self.of(master), link.port);
        }
        if let Some(alias) = &link.alias {
            let _ = write!(text, " alias {alias:?}");
        }
        text
    }

    fn route(&self, route: &Route) -> String {
        let mut text = format!("{route} kind {:?} protocol {}", route.kind, route.protocol);
        for link in route.paths().iter().filter_map(|path| path.link) {
            text = text.replace(&format!("on link {link}"), &format!("on {}", self.of(link)));
        }
        let _ = write!(text, " scope {:?} metric {}", route.scope, route.metric);
        for (name, value) in [("mtu", route.mtu), ("advmss", route.advmss)] {
            if let Some(value) = value {
                let _ = write!(text, " {name} {value}");
            }
        }
        if let Some(source) = route.source {
            let _ = write!(text, " from {source}");
        }
        text
    }
}

fn add_addresses(lines: &mut BTreeSet<String>, netlink: &mut Netlink, names: &Names) -> Result<()> {
    let settled = |address: &Address| address.protocol != KERNEL_LINK_LOCAL;
    for address in netlink.addresses()?.into_iter().filter(settled) {
        let flags = address
            .flags
            .without(AddressFlags::TENTATIVE | AddressFlags::PERMANENT);
        let link = names.of(address.link);
        let peer = address
            .peer
            .map(|peer| format!(" peer {peer}"))
            .unwrap_or_default();
        lines.insert(format!(
            "address {}{peer} on {link} {:?} {flags}",
            address.ip, address.scope
        ));
    }
    Ok(())
}

fn add_routes(lines: &mut BTreeSet<String>, netlink: &mut Netlink, names: &Names) -> Result<()> {
    for family in Family::ALL {
        for route in netlink.routes(family)? {
            if route.protocol != KERNEL || (route.table != LOCAL && !is_link_local(&route)) {
                lines.insert(names.route(&route));
            }
        }
        for rule in netlink.rules(family)? {
            lines.insert(format!("{rule} {rule:?}"));
        }
    }
    for mut next_hop in netlink.next_hops()? {
        let link = next_hop.link.take();
        let on = link.map(|link| names.of(link)).unwrap_or_default();
        lines.insert(format!("{next_hop} on {on} {next_hop:?}"));
    }
    Ok(())
}

/// Whether it is one of the routes that come with a link-local address.
fn is_link_local(route: &Route) -> bool {
    match route.destination.ip() {
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip.is_multicast(),
        IpAddr::V4(_) => false,
    }
}

fn add_neighbours(
    lines: &mut BTreeSet<String>,
    netlink: &mut Netlink,
    names: &Names,
) -> Result<()> {
    for family in Family::ALL {
        for neighbour in netlink.neighbours(family)? {
            if neighbour.state.contains(NeighbourState::PERMANENT) {
                let mac = neighbour.mac.map(|mac| mac.to_string()).unwrap_or_default();
                let link = names.of(neighbour.link);
                let flags = neighbour.flags;
                lines.insert(format!(
                    "neighbour {} at {mac} on {link} {flags}",
                    neighbour.ip
                ));
            }
        }
    }
    for entry in netlink.fdb(None)? {
        // Group addresses are joined and left by the protocols of the link.
        if entry.state.contains(NeighbourState::PERMANENT) && !entry.mac.is_multicast() {
            let link = names.of(entry.link);
            lines.insert(format!(
                "forwarding entry {} on {link} to {:?} through {:?} {}",
                entry.mac, entry.destination, entry.next_hop, entry.flags
            ));
        }
    }
    Ok(())
}

fn add_nftables(lines: &mut BTreeSet<String>, nft: &mut Nft) -> Result<()> {
    for chain in nft.chains()? {
        lines.insert(format!("{chain} {:?} {:?}", chain.base, chain.comment));
    }
    for table in nft.tables()? {
        lines.insert(format!("nft table {}", table.name));
        for set in nft.sets(&table.name)? {
            lines.insert(format!(
                "{set} {:?} {:?} {:?} {}",
                set.key, set.data, set.comment, set.flags
            ));
            for element in nft.elements(&set)? {
                lines.insert(format!("element {element:?} of {set}"));
            }
        }
        // Handles differ between two rules that do the same; their order in a chain counts.
        let mut place = BTreeMap::new();
        for rule in nft.rules(&table.name, None)? {
            let number = place.entry(rule.chain.clone()).or_insert(0_u32);
            *number += 1;
            let still: Vec<_> = rule
                .expressions
                .iter()
                .filter(|e| !matches!(e, Expr::Counter { .. }))
                .collect();
            lines.insert(format!(
                "nft rule {number} in chain {} {} {still:?} {:?}",
                rule.table, rule.chain, rule.comment
            ));
        }
    }
    Ok(())
}
