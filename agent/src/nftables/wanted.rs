//! What the table should hold: a pure function of the view and the configuration.

use fairlead_cni_netlink::nft::{
    Base, Chain, ChainKind, Field, Hook, KeyType, NatFlags, Policy, Rule, Set, TableFamily,
    TableName, Test, merge,
};
use fairlead_cni_node::Mode;
use fairlead_cni_node::owned::{AGENT_TABLE, FORWARD_MARK};
use ipnetwork::IpNetwork;

use super::ruleset::Ruleset;
use crate::cluster::View;
use crate::config::Config;

/// `srcnat`: where iptables and nft(8) put their own source translation.
const SRCNAT: i32 = 100;

/// Where forwarded pod packets are marked: before every chain that could drop them
/// (`NF_IP_PRI_FIRST`).
pub const MARK_PRIORITY: i32 = i32::MIN;

/// Where the mark is taken away again (`NF_IP_PRI_LAST`).
const UNMARK_PRIORITY: i32 = i32::MAX;

/// Our table.
#[must_use]
pub fn table() -> TableName {
    TableName::new(TableFamily::Inet, AGENT_TABLE)
}

/// What should stand; `None` when nothing asks for the table.
#[must_use]
pub fn wanted(view: &View, config: &Config) -> Option<Ruleset> {
    let (masquerade, mark) = (config.masquerade.as_ref(), config.forward_accept);
    let cluster = masquerade
        .map(|m| m.cluster_cidrs.as_slice())
        .unwrap_or_default();
    let outside = masquerade
        .map(|m| m.non_masquerade_cidrs.as_slice())
        .unwrap_or_default();
    let pods = || view.all_ranges.iter().chain(cluster).copied();
    let mut ruleset = Ruleset::new(table());
    if masquerade.is_some() || mark {
        ruleset.add_ranges("pods", pods);
    }
    if let Some(masquerade) = masquerade {
        ruleset.add_ranges("exempt", || pods().chain(outside.iter().copied()));
        ruleset.masquerade(masquerade.random_fully);
    }
    if mark {
        ruleset.mark_forwarded();
    }
    if config.network.mode == Mode::Vxlan {
        ruleset.add_nodes(view);
        let own = view.own.as_ref().map(|own| own.addresses);
        ruleset.tunnel(own.unwrap_or_default(), config.network.vxlan.port);
    }
    (!ruleset.chains.is_empty()).then_some(ruleset)
}

impl Ruleset {
    /// One set of ranges a family: `NAME4` and `NAME6`.
    fn add_ranges<I: Iterator<Item = IpNetwork>>(&mut self, name: &str, ranges: impl Fn() -> I) {
        let families = [
            (
                "4",
                KeyType::Ipv4Addr,
                IpNetwork::is_ipv4 as fn(&IpNetwork) -> bool,
            ),
            ("6", KeyType::Ipv6Addr, IpNetwork::is_ipv6),
        ];
        for (suffix, key, of_family) in families {
            let set = Set::new(&table(), format!("{name}{suffix}"), &[key]).interval();
            let elements = merge(ranges().filter(of_family)).into_iter().collect();
            self.sets.push((set, elements));
        }
    }

    /// Pods' new flows to anything that is not exempt take the address of the link they leave by.
    fn masquerade(&mut self, random_fully: bool) {
        let base = Base {
            hook: Hook::Postrouting,
            kind: ChainKind::Nat,
            priority: SRCNAT,
            policy: Policy::Accept,
            device: None,
        };
        self.chains.push(Chain::base(&table(), "postrouting", base));
        let flags = if random_fully {
            NatFlags::RANDOM_FULLY
        } else {
            NatFlags::default()
        };
        for (from, to, family) in [
            (Field::IpSaddr, Field::IpDaddr, "4"),
            (Field::Ip6Saddr, Field::Ip6Daddr, "6"),
        ] {
            let rule = Rule::new(&table(), "postrouting")
                .when(from, Test::In(format!("pods{family}")))
                .when(to, Test::NotIn(format!("exempt{family}")))
                .masquerade(flags)
                .comment("pods to outside of the cluster");
            self.rules.push(rule);
        }
    }

    /// Marks what goes to or comes from pods before any filter sees it, and takes the mark away behind
    /// the last one: a tunnel's outer packets would inherit it.
    fn mark_forwarded(&mut self) {
        for (name, priority) in [("forward", MARK_PRIORITY), ("forwarded", UNMARK_PRIORITY)] {
            let base = Base {
                hook: Hook::Forward,
                kind: ChainKind::Filter,
                priority,
                policy: Policy::Accept,
                device: None,
            };
            self.chains.push(Chain::base(&table(), name, base));
        }
        for (field, set) in [
            (Field::IpSaddr, "pods4"),
            (Field::IpDaddr, "pods4"),
            (Field::Ip6Saddr, "pods6"),
            (Field::Ip6Daddr, "pods6"),
        ] {
            let rule = Rule::new(&table(), "forward")
                .when(field, Test::In(set.to_owned()))
                .set_mark(FORWARD_MARK, FORWARD_MARK);
            self.rules.push(rule);
        }
        let unmark = Rule::new(&table(), "forwarded")
            .when(Field::Mark, Test::AnyBit(FORWARD_MARK))
            .set_mark(FORWARD_MARK, 0);
        self.rules.push(unmark);
    }
}
