//! What the tunnel asks of the agent's own table: its packets are not tracked, so that nobody can
//! translate their addresses, and only nodes speak to its port.
//!
//! ```text
//! chain tunnel-prerouting {                                  # and tunnel-output
//!     type filter hook prerouting priority raw
//!     udp dport 4789 ip saddr @nodes4 ip daddr @nodes4 notrack
//! }
//! chain tunnel-input {
//!     type filter hook input priority raw
//!     udp dport 4789 ip saddr != @nodes4 counter drop
//!     udp dport 4789 ip daddr != @nodes4 counter drop
//! }
//! chain tunnel-forward {
//!     type filter hook forward priority raw
//!     udp dport 4789 ip daddr @nodes4 ip saddr != @nodes4 counter drop
//! }
//! ```
//!
//! Other addresses of a node than the one that its peers know are no way in: a pod's packets to them may
//! arrive with its node's address for source. The forward chain is for Services: a pod's packet to one
//! whose backend is the tunnel of a node gets that address behind the guard of the pod's link.

use std::net::IpAddr;

use fairlead_cni_netlink::nft::{
    Base, Chain, ChainKind, Element, Field, Hook, Key, KeyType, Policy, Rule, Set, Test,
};
use fairlead_cni_node::owned::{GUARD_NODES_V4, GUARD_NODES_V6};

use super::ruleset::Ruleset;
use crate::cluster::View;

/// `raw`: before connection tracking (-200).
const RAW: i32 = -300;

/// `IPPROTO_UDP`.
const UDP: u8 = 17;

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

    /// What keeps the tunnel at `port` untouched and closed to strangers.
    pub(super) fn tunnel(&mut self, port: u16) {
        let is = |set: &str| Test::In(set.to_owned());
        let not = |set: &str| Test::NotIn(set.to_owned());
        for (chain, hook) in [
            ("tunnel-prerouting", Hook::Prerouting),
            ("tunnel-output", Hook::Output),
        ] {
            self.add_raw_chain(chain, hook);
            for (from, to, nodes) in FAMILIES {
                let rule = self.to_port(chain, port).when(from, is(nodes));
                self.rules.push(rule.when(to, is(nodes)).notrack());
            }
        }
        self.add_raw_chain("tunnel-input", Hook::Input);
        self.add_raw_chain("tunnel-forward", Hook::Forward);
        for (from, to, nodes) in FAMILIES {
            let input = || self.to_port("tunnel-input", port);
            let rules = [
                input().when(from, not(nodes)),
                input().when(to, not(nodes)),
                self.to_port("tunnel-forward", port)
                    .when(to, is(nodes))
                    .when(from, not(nodes)),
            ];
            self.rules.extend(rules.map(|rule| rule.counter().deny()));
        }
    }

    /// Pods' packets to the tunnel of any node, at `port`, are dropped in `chain`.
    pub(super) fn drop_to_tunnel(&mut self, chain: &str, port: u16) {
        for (_, to, nodes) in FAMILIES {
            let rule = self
                .to_port(chain, port)
                .when(to, Test::In(nodes.to_owned()));
            self.rules.push(rule.counter().deny());
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

    fn to_port(&self, chain: &str, port: u16) -> Rule {
        Rule::new(&self.table, chain)
            .when(Field::L4Proto, Test::Is(Key::byte(UDP)))
            .when(Field::Dport, Test::Is(Key::port(port)))
    }
}
