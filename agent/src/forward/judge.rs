//! Whether a foreign chain drops pod traffic, and what would open it.

use std::collections::BTreeSet;

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{
    Chain, ChainKind, Expr, Field, Hook, Rule, TableFamily, Test, Verdict,
};
use fairlead_cni_node::owned::{
    AGENT_TABLE, FORWARD_ACCEPT_COMMENT, FORWARD_MARK, HOST_LINK_PREFIX, PLUGIN_TABLE,
};
use ipnetwork::IpNetwork;

use super::probe::{Probe, verdict};
use super::table::Contents;

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

/// What in `chain` drops one of the packets `probes` for good, if anything does. Our own rule does not count.
///
/// # Errors
///
/// Those of `table`, the chain's.
pub fn drops(
    chain: &Chain,
    probes: &[Probe],
    table: &mut impl Contents,
) -> Result<Option<String>, NetlinkError> {
    let seen = |probe: &&Probe| match chain.table.family {
        TableFamily::Ip => probe.source.is_ipv4(),
        TableFamily::Ip6 => probe.source.is_ipv6(),
        _ => true,
    };
    for probe in probes.iter().filter(seen) {
        match walk(chain, &chain.name, probe, table, DEEPEST)? {
            End::Dropped(why) => return Ok(Some(why)),
            End::Left if chain.drops_by_policy() => return Ok(Some("policy drop".to_owned())),
            End::Left | End::Accepted => {}
        }
    }
    Ok(None)
}

/// How deep chains may jump into each other (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// How the way through a chain ends.
enum End {
    /// Let through.
    Accepted,
    /// Dropped, and by what.
    Dropped(String),
    /// No rule decided.
    Left,
}

/// Follows `probe` through the chain called `name`, which `base` leads to.
fn walk(
    base: &Chain,
    name: &str,
    probe: &Probe,
    table: &mut impl Contents,
    deepest: usize,
) -> Result<End, NetlinkError> {
    let ours = our_rule(base);
    for rule in table.rules(name)?.iter().filter(|rule| !rule.same(&ours)) {
        let verdict = verdict(rule, probe, &mut |set, key| table.find(set, key))?;
        match verdict {
            Some(Verdict::Accept) => return Ok(End::Accepted),
            Some(Verdict::Drop) => return Ok(End::Dropped(blame(rule, base, probe))),
            Some(Verdict::Return) => return Ok(End::Left),
            Some(Verdict::Jump(to)) if deepest > 0 => {
                match walk(base, &to, probe, table, deepest - 1)? {
                    End::Left => {}
                    end => return Ok(end),
                }
            }
            Some(Verdict::Goto(to)) if deepest > 0 => {
                return walk(base, &to, probe, table, deepest - 1);
            }
            _ => {}
        }
    }
    Ok(End::Left)
}

/// Says which rule it is.
fn blame(rule: &Rule, base: &Chain, probe: &Probe) -> String {
    let does = match rule.verdict() {
        Some(Verdict::Drop) => "drops",
        _ => "rejects",
    };
    if rule.chain == base.name && is_unconditional(rule) {
        format!("a rule {does} everything that is left")
    } else if rule.chain == base.name {
        format!("a rule {does} {probe}")
    } else {
        format!("a rule in chain {} {does} {probe}", rule.chain)
    }
}

/// Whether every packet reaches the end of `rule`.
fn is_unconditional(rule: &Rule) -> bool {
    rule.expressions.iter().all(|expression| match expression {
        Expr::Verdict(_) | Expr::Counter { .. } | Expr::Reject { .. } => true,
        Expr::Other { name, .. } => ["log", "target"].contains(&name.as_str()),
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
mod tests;
