//! Whether a foreign chain drops pod traffic, and what would open it: the pure part.

use std::collections::BTreeSet;

use fairlead_cni_netlink::nft::{
    Chain, ChainKind, Expr, Field, Hook, Rule, TableFamily, Test, Verdict,
};
use fairlead_cni_node::owned::{
    AGENT_TABLE, FORWARD_ACCEPT_COMMENT, FORWARD_MARK, HOST_LINK_PREFIX, PLUGIN_TABLE,
};
use ipnetwork::IpNetwork;

/// The families that pods have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Families {
    /// Those of `ranges`.
    #[must_use]
    pub fn of(ranges: &BTreeSet<IpNetwork>) -> Self {
        Self {
            v4: ranges.iter().any(IpNetwork::is_ipv4),
            v6: ranges.iter().any(IpNetwork::is_ipv6),
        }
    }
}

/// Whether `chain` is somebody else's and sees forwarded packets of `families`.
#[must_use]
pub fn concerns(chain: &Chain, families: Families) -> bool {
    let seen = match chain.table.family {
        TableFamily::Ip => families.v4,
        TableFamily::Ip6 => families.v6,
        TableFamily::Inet => families.v4 || families.v6,
        _ => false,
    };
    let filters = chain
        .base
        .as_ref()
        .is_some_and(|base| base.hook == Hook::Forward && base.kind == ChainKind::Filter);
    let ours = [AGENT_TABLE, PLUGIN_TABLE].contains(&chain.table.name.as_str());
    seen && filters && !ours
}

/// What a chain does to forwarded packets that no rule of it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What drops them, if anything does.
    pub drops: Option<String>,
    /// Somebody has let pod traffic through: with our command, or altogether.
    pub opened: bool,
}

/// Judges `chain` by itself and by `rules`, those of its whole table.
#[must_use]
pub fn judge(chain: &Chain, rules: &[Rule]) -> Judgement {
    let last = rules
        .iter()
        .filter(|rule| rule.chain == chain.name && is_unconditional(rule))
        .find_map(verdict_of);
    let drops = match last {
        Some(Final::Drop) => Some("a rule drops everything that is left".to_owned()),
        Some(Final::Reject) => Some("a rule rejects everything that is left".to_owned()),
        None if chain.drops_by_policy() => Some("policy drop".to_owned()),
        Some(Final::Accept) | None => None,
    };
    // The rule may be in a chain that this one jumps to, such as DOCKER-USER.
    let opened = rules.iter().any(carries_our_comment);
    Judgement { drops, opened }
}

enum Final {
    Accept,
    Drop,
    Reject,
}

/// Whether every packet reaches the end of `rule`.
fn is_unconditional(rule: &Rule) -> bool {
    rule.expressions.iter().all(|expression| match expression {
        Expr::Verdict(_) | Expr::Counter { .. } | Expr::Reject { .. } => true,
        Expr::Other { name, .. } => ["log", "target"].contains(&name.as_str()),
        _ => false,
    })
}

/// What `rule` does with a packet that reaches its end, if that ends the judgement.
fn verdict_of(rule: &Rule) -> Option<Final> {
    rule.expressions
        .iter()
        .find_map(|expression| match expression {
            Expr::Verdict(Verdict::Accept) => Some(Final::Accept),
            Expr::Verdict(Verdict::Drop) => Some(Final::Drop),
            Expr::Reject { .. } => Some(Final::Reject),
            // iptables' REJECT where the kernel has no native one.
            Expr::Other { name, data } if name == "target" && contains(data, b"REJECT") => {
                Some(Final::Reject)
            }
            _ => None,
        })
}

/// By nftables' own comment, or by iptables' match of that name.
fn carries_our_comment(rule: &Rule) -> bool {
    let native = rule.comment.as_deref() == Some(FORWARD_ACCEPT_COMMENT);
    native
        || rule.expressions.iter().any(|expression| match expression {
            Expr::Other { data, .. } => contains(data, FORWARD_ACCEPT_COMMENT.as_bytes()),
            _ => false,
        })
}

pub(super) fn contains(data: &[u8], part: &[u8]) -> bool {
    data.windows(part.len()).any(|window| window == part)
}

/// The rule that `forwardAccept` keeps: pod packets carry our mark by then.
#[must_use]
pub fn our_rule(chain: &Chain) -> Rule {
    Rule::new(&chain.table, &chain.name)
        .when(
            Field::Mark,
            Test::Bits {
                mask: FORWARD_MARK,
                value: FORWARD_MARK,
            },
        )
        .accept()
        .comment(FORWARD_ACCEPT_COMMENT)
}

/// The command that opens `chain` for pods of this node, in the tool that made it.
#[must_use]
pub fn command(chain: &Chain) -> String {
    let made_by_iptables = chain.table.name == "filter" && chain.name == "FORWARD";
    match chain.table.family {
        TableFamily::Ip if made_by_iptables => iptables_command("iptables", &chain.name),
        TableFamily::Ip6 if made_by_iptables => iptables_command("ip6tables", &chain.name),
        _ => {
            let rule = |direction: &str| {
                format!(
                    "nft insert rule {} {} {direction} \"{HOST_LINK_PREFIX}*\" accept \
                     comment '\"{FORWARD_ACCEPT_COMMENT}\"'",
                    chain.table, chain.name
                )
            };
            format!("{} && {}", rule("iifname"), rule("oifname"))
        }
    }
}

/// The same for `program`, an iptables of some kind.
#[must_use]
pub fn iptables_command(program: &str, chain: &str) -> String {
    let rule = |direction: char| {
        format!(
            "{program} -I {chain} -{direction} {HOST_LINK_PREFIX}+ -m comment \
             --comment '{FORWARD_ACCEPT_COMMENT}' -j ACCEPT"
        )
    };
    format!("{} && {}", rule('i'), rule('o'))
}

#[cfg(test)]
mod tests {
    use fairlead_cni_netlink::nft::{Base, Key, Policy, TableName};

    use super::*;

    const BOTH: Families = Families { v4: true, v6: true };

    fn chain(family: TableFamily, table: &str, name: &str, policy: Policy) -> Chain {
        let base = Base {
            hook: Hook::Forward,
            kind: ChainKind::Filter,
            priority: 0,
            policy,
            device: None,
        };
        Chain::base(&TableName::new(family, table), name, base)
    }

    fn docker() -> Chain {
        chain(TableFamily::Ip, "filter", "FORWARD", Policy::Drop)
    }

    fn firewalld() -> Chain {
        chain(
            TableFamily::Inet,
            "firewalld",
            "filter_FORWARD",
            Policy::Accept,
        )
    }

    #[test]
    fn a_policy_of_drop_drops() {
        assert_eq!(
            judge(&docker(), &[]),
            Judgement {
                drops: Some("policy drop".to_owned()),
                opened: false
            }
        );
        assert_eq!(judge(&firewalld(), &[]).drops, None);
    }

    #[test]
    fn a_last_rule_without_conditions_decides() {
        let chain = firewalld();
        let some = Rule::new(&chain.table, &chain.name)
            .when(Field::IifName, Test::Is(Key::raw(b"eth0")))
            .deny();
        assert_eq!(judge(&chain, std::slice::from_ref(&some)).drops, None);
        let reject = Rule::new(&chain.table, &chain.name)
            .counter()
            .then(Expr::Reject { kind: 2, code: 3 });
        assert_eq!(
            judge(&chain, &[some.clone(), reject]).drops.as_deref(),
            Some("a rule rejects everything that is left")
        );
        let drop = Rule::new(&chain.table, &chain.name).deny();
        assert_eq!(
            judge(&chain, std::slice::from_ref(&drop)).drops.as_deref(),
            Some("a rule drops everything that is left")
        );
        let accept = Rule::new(&chain.table, &chain.name).accept();
        assert_eq!(judge(&chain, &[accept, drop]).drops, None);
    }

    #[test]
    fn our_comment_anywhere_in_the_table_opens_it() {
        let chain = docker();
        let jumped = Rule::new(&chain.table, "DOCKER-USER")
            .accept()
            .comment(FORWARD_ACCEPT_COMMENT);
        assert!(judge(&chain, &[jumped]).opened);
        let mut data = b"comment\0".to_vec();
        data.extend_from_slice(FORWARD_ACCEPT_COMMENT.as_bytes());
        let by_iptables = Rule::new(&chain.table, "FORWARD")
            .then(Expr::Other {
                name: "match".to_owned(),
                data,
            })
            .accept();
        assert!(judge(&chain, &[by_iptables]).opened);
    }

    #[test]
    fn only_foreign_filters_of_the_pods_families_count() {
        assert!(concerns(&docker(), BOTH));
        assert!(!concerns(
            &docker(),
            Families {
                v4: false,
                v6: true
            }
        ));
        assert!(concerns(
            &firewalld(),
            Families {
                v4: false,
                v6: true
            }
        ));
        assert!(!concerns(
            &chain(TableFamily::Inet, "fairlead", "forward", Policy::Drop),
            BOTH
        ));
        assert!(!concerns(
            &chain(TableFamily::Bridge, "x", "forward", Policy::Drop),
            BOTH
        ));
    }

    #[test]
    fn commands_are_those_of_the_chains_own_tool() {
        assert_eq!(
            command(&docker()),
            "iptables -I FORWARD -i fl+ -m comment --comment 'fairlead: accept forwarded pod traffic' \
             -j ACCEPT && iptables -I FORWARD -o fl+ -m comment --comment 'fairlead: accept forwarded \
             pod traffic' -j ACCEPT"
        );
        assert_eq!(
            command(&firewalld()),
            "nft insert rule inet firewalld filter_FORWARD iifname \"fl*\" accept comment \
             '\"fairlead: accept forwarded pod traffic\"' && nft insert rule inet firewalld \
             filter_FORWARD oifname \"fl*\" accept comment '\"fairlead: accept forwarded pod traffic\"'"
        );
    }
}
