//! What the tunnel asks of the agent's own table: its packets are not tracked, so that nobody can
//! translate their addresses, and only nodes speak to its port.
//!
//! ```text
//! chain tunnel-prerouting {
//!     type filter hook prerouting priority raw
//!     th dport 4789 meta l4proto udp goto tunnel-comes
//! }
//! chain tunnel-comes {
//!     ip daddr 198.18.0.1 notrack accept                     # this node's address
//!     ip saddr @nodes4 ip daddr @nodes4 notrack accept       # on the way through this node
//! }
//! chain tunnel-output {
//!     type filter hook output priority raw
//!     th dport 4789 meta l4proto udp goto tunnel-goes
//! }
//! chain tunnel-goes {
//!     ip saddr 198.18.0.1 ip daddr @nodes4 notrack accept
//! }
//! chain tunnel-input {
//!     type filter hook input priority raw
//!     th dport 4789 meta l4proto udp goto tunnel-taken
//! }
//! chain tunnel-taken {
//!     ip daddr 198.18.0.1 ip saddr @nodes4 accept
//!     ip saddr != @nodes4 counter drop
//!     counter drop
//! }
//! chain tunnel-forward {
//!     type filter hook forward priority raw
//!     th dport 4789 meta l4proto udp goto tunnel-passes
//! }
//! chain tunnel-passes {
//!     ip daddr @nodes4 ip saddr != @nodes4 counter drop
//! }
//! ```
//!
//! Each packet of a pod goes along these hooks twice on a node, inside of the tunnel and outside: whatever is
//! not for the port leaves with the one rule of each, and what is good with the first rule behind it. The port
//! is asked for before the protocol: it is the one that hardly any other packet has.
//!
//! Other addresses of a node than the one that its peers know are no way in: a pod's packets to them may
//! arrive with its node's address for source. The forward chain is for Services: a pod's packet to one
//! whose backend is the tunnel of a node gets that address behind the guard of the pod's link.

use std::net::IpAddr;

use fairlead_cni_netlink::nft::{
    Base, Chain, ChainKind, Element, Field, Hook, Key, KeyType, Policy, Rule, Set, Test,
};
use fairlead_cni_node::owned::{GUARD_NODES_V4, GUARD_NODES_V6};

use super::drops::Dropped;
use super::ruleset::Ruleset;
use crate::address::Addresses;
use crate::cluster::View;

/// `raw`: before connection tracking (-200).
const RAW: i32 = -300;

/// `IPPROTO_UDP`.
const UDP: u8 = 17;

/// What comes to the port, before routing.
const COMES: &str = "tunnel-comes";
/// What this node sends to the port of a node.
const GOES: &str = "tunnel-goes";
/// What is for the port of this node.
const TAKEN: &str = "tunnel-taken";
/// What is for the port of another node.
const PASSES: &str = "tunnel-passes";

/// Source, destination and set of a family.
const FAMILIES: [(Field, Field, &str); 2] = [
    (Field::IpSaddr, Field::IpDaddr, GUARD_NODES_V4),
    (Field::Ip6Saddr, Field::Ip6Daddr, GUARD_NODES_V6),
];

impl Ruleset {
    /// The addresses of all nodes, in one set a family.
    pub(super) fn add_nodes(&mut self, view: &View) {
        let members = || view.own.iter().chain(&view.peers);
        for (name, key, v4) in [
            (GUARD_NODES_V4, KeyType::Ipv4Addr, true),
            (GUARD_NODES_V6, KeyType::Ipv6Addr, false),
        ] {
            let addresses = members().flat_map(|member| member.addresses.iter());
            let elements = addresses
                .filter(|address: &IpAddr| address.is_ipv4() == v4)
                .map(Element::key)
                .collect();
            self.sets
                .push((Set::new(&self.table, name, &[key]), elements));
        }
    }

    /// What keeps the tunnel of the node at `own`, at `port`, untouched and closed to strangers.
    pub(super) fn tunnel(&mut self, own: Addresses, port: u16) {
        let chains = [
            ("tunnel-prerouting", Hook::Prerouting, COMES),
            ("tunnel-output", Hook::Output, GOES),
            ("tunnel-input", Hook::Input, TAKEN),
            ("tunnel-forward", Hook::Forward, PASSES),
        ];
        for (chain, hook, then) in chains {
            self.add_raw_chain(chain, hook);
            self.chains.push(Chain::regular(&self.table, then));
            let to_port = Rule::new(&self.table, chain)
                .when(Field::Dport, Test::Is(Key::port(port)))
                .when(Field::L4Proto, Test::Is(Key::byte(UDP)));
            self.rules.push(to_port.goto(then));
        }
        let is = |set: &str| Test::In(set.to_owned());
        let not = |set: &str| Test::NotIn(set.to_owned());
        let this = |ip: IpAddr| Test::Is(ip.into());
        let in_chain = |chain: &str| Rule::new(&self.table, chain);
        let (mut good, mut rest) = (Vec::new(), Vec::new());
        for (from, to, nodes) in FAMILIES {
            let v4 = nodes == GUARD_NODES_V4;
            for ip in own.iter().filter(|ip| ip.is_ipv4() == v4) {
                good.push(in_chain(COMES).when(to, this(ip)).notrack().accept());
                let goes = in_chain(GOES).when(from, this(ip)).when(to, is(nodes));
                good.push(goes.notrack().accept());
                let taken = in_chain(TAKEN).when(to, this(ip)).when(from, is(nodes));
                good.push(taken.accept());
            }
            let through = in_chain(COMES).when(from, is(nodes)).when(to, is(nodes));
            rest.push(through.notrack().accept());
            let stranger = in_chain(TAKEN).when(from, not(nodes));
            rest.push(Dropped::Stranger.by(stranger));
            let passes = in_chain(PASSES).when(to, is(nodes)).when(from, not(nodes));
            rest.push(Dropped::Service.by(passes));
        }
        rest.push(Dropped::Address.by(in_chain(TAKEN)));
        self.rules.extend(good.into_iter().chain(rest));
    }

    /// Lets go in `chain` what is for another port than `port`. What hides its port stays: frames with a tag, and
    /// fragments but the first.
    pub(super) fn pass_others(&mut self, chain: &str, port: u16) {
        let other = Test::IsNot(Key::port(port));
        let rule = Rule::new(&self.table, chain).when(Field::Dport, other);
        self.rules.push(rule.accept());
    }

    /// Pods' packets to the tunnel of any node, at `port`, are dropped in `chain`.
    pub(super) fn drop_to_tunnel(&mut self, chain: &str, port: u16) {
        for (_, to, nodes) in FAMILIES {
            let rule = Rule::new(&self.table, chain)
                .when(Field::L4Proto, Test::Is(Key::byte(UDP)))
                .when(Field::Dport, Test::Is(Key::port(port)))
                .when(to, Test::In(nodes.to_owned()));
            self.rules.push(Dropped::Pod.by(rule));
        }
    }

    fn add_raw_chain(&mut self, name: &str, hook: Hook) {
        let base = Base {
            hook,
            kind: ChainKind::Filter,
            priority: RAW,
            policy: Policy::Accept,
            device: None,
        };
        self.chains.push(Chain::base(&self.table, name, base));
    }
}
