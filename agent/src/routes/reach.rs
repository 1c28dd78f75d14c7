//! How the kernel reaches the other nodes: its own answers, which know of on-link routes, policy rules
//! and point-to-point links that arithmetic on prefixes does not.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use fairlead_cni_netlink::{
    Family, LinkIndex, Netlink, NetlinkError, Path, Route, RouteFilter, RouteKind, Target,
};
use ipnetwork::IpNetwork;

use super::alike::alike;
use crate::cluster::View;

/// The way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The link that packets leave by.
    pub link: LinkIndex,
    /// The gateway; `None` when the address is on the link.
    pub gateway: Option<IpAddr>,
    /// The MTU that the route itself has, in bytes.
    pub mtu: Option<u32>,
}

/// How the kernel reaches an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// By this way.
    By(Way),
    /// It is an address of this very host.
    Local,
    /// Not at all.
    Not {
        /// The kernel's words.
        reason: String,
        /// The way that there was before.
        before: Option<Way>,
    },
}

impl Reach {
    /// The way that there is, or was before it was lost.
    #[must_use]
    pub const fn way(&self) -> Option<&Way> {
        match self {
            Self::By(way) => Some(way),
            Self::Not { before, .. } => before.as_ref(),
            Self::Local => None,
        }
    }
}

/// The kernel's answers for the addresses of all peers.
pub type Reachable = BTreeMap<IpAddr, Reach>;

/// Up to this many addresses are each asked for, which is less work than reading all routes and rules.
const FEW: usize = 256;

/// Asks the kernel, and only again once it has told of a change: thousands of questions in each pass
/// would cost more than all the rest of it.
#[derive(Debug, Default)]
pub struct Asker {
    answers: Reachable,
    /// How often an answer was another than before.
    turns: u64,
}

impl Asker {
    /// The answers, for all addresses of peers with pod ranges.
    #[must_use]
    pub const fn answers(&self) -> &Reachable {
        &self.answers
    }

    /// A number that stays the same for as long as all answers do.
    #[must_use]
    pub const fn turns(&self) -> u64 {
        self.turns
    }

    /// Asks for all addresses of the peers of `view` that have pod ranges. Answers from before are good
    /// enough unless `changed`.
    ///
    /// # Errors
    ///
    /// The kernel's, when it gave no answers at all.
    pub fn ask(
        &mut self,
        netlink: &mut Netlink,
        view: &View,
        changed: bool,
    ) -> Result<(), NetlinkError> {
        let asked: Vec<IpAddr> = asked(view).collect();
        let is_open = |address: &&IpAddr| changed || !self.answers.contains_key(address);
        let open: Vec<IpAddr> = asked.iter().filter(is_open).copied().collect();
        if self.answers.len() != asked.len() {
            let asked: BTreeSet<IpAddr> = asked.into_iter().collect();
            self.answers.retain(|address, _| asked.contains(address));
            self.turns += 1;
        }
        for (address, answer) in open.iter().zip(answers(netlink, &open)?) {
            let reach = match answer {
                Ok(reach) => reach,
                Err(reason) => Reach::Not {
                    reason,
                    before: self.answers.get(address).and_then(Reach::way).copied(),
                },
            };
            if self.answers.get(address) != Some(&reach) {
                self.answers.insert(*address, reach);
                self.turns += 1;
            }
        }
        Ok(())
    }
}

/// The peers' addresses that matter.
pub(super) fn asked(view: &View) -> impl Iterator<Item = IpAddr> + '_ {
    view.peers
        .iter()
        .filter(|peer| !peer.ranges.is_empty())
        .flat_map(|peer| peer.addresses.iter())
}

/// The kernel's answer to each of `addresses`. Of many, one is asked for in place of all that no route and no rule
/// tells apart.
fn answers(
    netlink: &mut Netlink,
    addresses: &[IpAddr],
) -> Result<Vec<Result<Reach, String>>, NetlinkError> {
    if addresses.len() <= FEW {
        let answers = netlink.routes_to(addresses)?;
        return Ok(answers.into_iter().map(reach).collect());
    }
    let alike = alike(prefixes(netlink, addresses)?, addresses);
    let asked: BTreeSet<usize> = alike.iter().copied().collect();
    let firsts: Vec<IpAddr> = asked.iter().map(|place| addresses[*place]).collect();
    let answers = netlink.routes_to(&firsts)?.into_iter().map(reach);
    let known: BTreeMap<usize, Result<Reach, String>> = asked.into_iter().zip(answers).collect();
    // A refusal names the address.
    let refused = |place: &usize| known[&alike[*place]].is_err();
    let places: Vec<usize> = (0..addresses.len()).filter(refused).collect();
    let again: Vec<IpAddr> = places.iter().map(|place| addresses[*place]).collect();
    let mut answers: Vec<_> = alike.iter().map(|first| known[first].clone()).collect();
    for (place, answer) in places.into_iter().zip(netlink.routes_to(&again)?) {
        answers[place] = reach(answer);
    }
    Ok(answers)
}

/// All by which the kernel tells `addresses` apart: the destinations of its routes in all tables, and of its rules.
fn prefixes(netlink: &mut Netlink, addresses: &[IpAddr]) -> Result<Vec<IpNetwork>, NetlinkError> {
    let mut prefixes = Vec::new();
    for (family, v4) in [(Family::V4, true), (Family::V6, false)] {
        if !addresses.iter().any(|address| address.is_ipv4() == v4) {
            continue;
        }
        let routes = netlink.routes_where(RouteFilter::all(family))?;
        prefixes.extend(routes.into_iter().map(|route| route.destination));
        let rules = netlink.rules(family)?;
        prefixes.extend(rules.into_iter().filter_map(|rule| rule.to));
    }
    Ok(prefixes)
}

fn reach(answer: Result<Route, NetlinkError>) -> Result<Reach, String> {
    let route = answer.map_err(|error| error.to_string())?;
    let path = match route.target {
        Target::Paths(paths) => paths.first().copied(),
        Target::NextHop(_) | Target::None => None,
    };
    match (route.kind, path) {
        (RouteKind::Local | RouteKind::Anycast, _) => Ok(Reach::Local),
        (
            RouteKind::Unicast,
            Some(Path {
                link: Some(link),
                via: gateway,
                ..
            }),
        ) => {
            let mtu = route.mtu;
            Ok(Reach::By(Way { link, gateway, mtu }))
        }
        (RouteKind::Unicast, _) => Err("the route to it names no link".to_owned()),
        (kind, _) => Err(format!("the route to it is of kind {kind:?}")),
    }
}
