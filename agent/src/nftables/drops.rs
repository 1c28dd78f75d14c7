//! What the tunnel's rules drop and why, and how often: the kernel counts with the rules.

use fairlead_cni_netlink::NetlinkError;
use fairlead_cni_netlink::nft::{Expr, Nft, Rule};
use fairlead_cni_node::owned::GUARD_CHAIN;

use super::{guard, wanted};
use crate::metrics::{DROP_REASONS, Metrics};

/// Why a rule drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// For the tunnel, but from no node.
    Stranger,
    /// From a node, but not to the address that nodes know this one by.
    Address,
    /// A Service led it from elsewhere to the tunnel of a node.
    Service,
    /// A pod sent it to the tunnel of a node.
    Pod,
    /// A pod's frame with two VLAN tags.
    Tags,
}

impl Dropped {
    /// In the order of [`DROP_REASONS`].
    const ALL: [Self; DROP_REASONS.len()] = [
        Self::Stranger,
        Self::Address,
        Self::Service,
        Self::Pod,
        Self::Tags,
    ];

    /// The rule's comment.
    const fn comment(self) -> &'static str {
        match self {
            Self::Stranger => "from no node",
            Self::Address => "to no address that nodes use",
            Self::Service => "to a node by way of a Service",
            Self::Pod => "from a pod",
            Self::Tags => "a second VLAN tag hides what it carries",
        }
    }

    /// Makes `rule` count, drop and say why.
    pub(super) fn by(self, rule: Rule) -> Rule {
        rule.counter().deny().comment(self.comment())
    }

    /// How many packets `rules` have dropped for this.
    fn count(self, rules: &[Rule]) -> u64 {
        let of = rules
            .iter()
            .filter(|rule| rule.comment.as_deref() == Some(self.comment()));
        let packets = |expression: &Expr| match expression {
            Expr::Counter { packets, .. } => Some(*packets),
            _ => None,
        };
        of.flat_map(|rule| &rule.expressions)
            .filter_map(packets)
            .sum()
    }
}

/// What the rules had counted when last looked at.
#[derive(Debug, Default)]
pub(super) struct Drops([u64; DROP_REASONS.len()]);

impl Drops {
    /// Adds to the metrics what was dropped since the last look.
    pub(super) fn look(&mut self, nft: &mut Nft, metrics: &Metrics) -> Result<(), NetlinkError> {
        let mut rules = nft.rules(&wanted::table(), None)?;
        rules.extend(nft.rules(&guard::table(), Some(GUARD_CHAIN))?);
        for (reason, new) in DROP_REASONS.into_iter().zip(self.since(&rules)) {
            let counter = metrics.tunnel_dropped.get_or_create(&[("reason", reason)]);
            counter.inc_by(new);
        }
        Ok(())
    }

    /// What `rules` have dropped since the last look. Rules that are written anew begin at zero.
    fn since(&mut self, rules: &[Rule]) -> [u64; DROP_REASONS.len()] {
        let now = Dropped::ALL.map(|reason| reason.count(rules));
        let last = std::mem::replace(&mut self.0, now);
        let mut new = now;
        for (new, last) in new.iter_mut().zip(last) {
            *new = new.checked_sub(last).unwrap_or(*new);
        }
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(counts: &[(Dropped, u64)]) -> Vec<Rule> {
        let rule = |(reason, packets): &(Dropped, u64)| {
            let counter = Expr::Counter {
                packets: *packets,
                bytes: 9,
            };
            let rule = Rule::new(&wanted::table(), "chain").then(counter);
            rule.comment(reason.comment())
        };
        counts.iter().map(rule).collect()
    }

    #[test]
    fn what_both_families_drop_is_added_up_and_goes_on_when_rules_begin_anew() {
        let mut drops = Drops::default();
        let both = rules(&[
            (Dropped::Stranger, 3),
            (Dropped::Stranger, 4),
            (Dropped::Tags, 1),
        ]);
        assert_eq!(drops.since(&both), [7, 0, 0, 0, 1]);
        assert_eq!(drops.since(&both), [0; 5]);
        let more = rules(&[(Dropped::Stranger, 9), (Dropped::Tags, 1)]);
        assert_eq!(drops.since(&more), [2, 0, 0, 0, 0]);
        assert_eq!(
            drops.since(&rules(&[(Dropped::Stranger, 5)])),
            [5, 0, 0, 0, 0]
        );
        assert_eq!(drops.since(&[]), [0; 5]);
    }

    #[test]
    fn each_reason_has_a_comment_of_its_own() {
        for reason in Dropped::ALL {
            let counts = rules(&[(reason, 2)]);
            let sum: u64 = Drops::default().since(&counts).iter().sum();
            assert_eq!(sum, 2, "{reason:?}");
        }
    }
}
