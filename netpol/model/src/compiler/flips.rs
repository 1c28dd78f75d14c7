//! In which order what has changed is flipped, one write each.
//!
//! A packet between two pods of a node is judged at both ends, and one event may change both judgements: the labels of
//! a namespace, a policy of both directions, the labels of a pod that is here. Between the two writes one judgement
//! would be the old one and the other the new one, and let through what neither state does. So, when more than one
//! thing changes that one packet may meet, all judgements first become what the old and the new one have in common,
//! and then what the new one is. Then at each moment what passes is allowed by the old or the new state, and what
//! both allow passes.

use std::collections::BTreeSet;

use super::state::{At, Move, State, Turn};
use crate::tables::{IfIndex, Write};

/// How something changes.
pub(crate) enum Change<T> {
    /// It allows all that it allowed.
    Grows,
    /// It allows nothing that it did not allow.
    Shrinks,
    /// Neither: this is what both allow.
    Between(T),
}

impl<T> Change<T> {
    /// What it is in the meantime.
    fn middle(self, before: T, now: T) -> T {
        match self {
            Self::Grows => before,
            Self::Shrinks => now,
            Self::Between(both) => both,
        }
    }
}

impl State {
    /// The writes that turn endpoints and move addresses. What they need in the meantime is added to `writes`.
    pub(crate) fn flips(
        &mut self,
        turns: &[Turn],
        moves: &[Move],
        first: bool,
        writes: &mut Vec<Write>,
    ) -> Vec<Write> {
        let endpoint = |index: IfIndex, at: Option<&At>| {
            Write::Endpoint(index, at.map(|at| Box::new(at.endpoint.clone())))
        };
        let careful = !first && meet_each_other(turns, moves);
        // First what allows less, then what does not matter, then what allows more. Endpoints that are not there allow
        // nothing.
        let (mut less, mut more) = (Vec::new(), Vec::new());
        for turn in turns {
            match (&turn.before, &turn.now) {
                (Some(_), None) => less.push(endpoint(turn.index, None)),
                (Some(before), Some(now)) if careful => {
                    let mut middle = before.clone();
                    middle.endpoint.ingress =
                        self.middle(before, now, |at| (at.ingress, at.endpoint.ingress), writes);
                    middle.endpoint.egress =
                        self.middle(before, now, |at| (at.egress, at.endpoint.egress), writes);
                    if middle.endpoint != before.endpoint {
                        less.push(endpoint(turn.index, Some(&middle)));
                    }
                    if middle.endpoint != now.endpoint {
                        more.push(endpoint(turn.index, Some(now)));
                    }
                }
                (_, now) => more.push(endpoint(turn.index, now.as_ref())),
            }
        }
        let mut widen = Vec::new();
        for one in moves {
            if !careful || one.here.is_none() || one.before == one.now {
                widen.push(one.to(one.now));
                continue;
            }
            let change = self.compare(one, writes);
            let middle = change.middle(one.before, one.now);
            if middle != one.before {
                less.push(one.to(middle));
            }
            if middle != one.now {
                widen.push(one.to(one.now));
            }
        }
        less.into_iter().chain(widen).chain(more).collect()
    }
}

/// Whether a packet may meet two of these changes: at its two ends, or an endpoint's rules and its address.
fn meet_each_other(turns: &[Turn], moves: &[Move]) -> bool {
    let stay = turns
        .iter()
        .filter_map(|turn| turn.before.as_ref().zip(turn.now.as_ref()));
    let (mut ingress, mut egress, mut pods) = (false, false, 0);
    for (before, now) in stay {
        let changed = (
            before.endpoint.ingress != now.endpoint.ingress,
            before.endpoint.egress != now.endpoint.egress,
        );
        ingress |= changed.0;
        egress |= changed.1;
        pods += usize::from(changed.0 || changed.1);
    }
    let changed = moves.iter().filter(|one| one.before != one.now);
    let addresses: BTreeSet<IfIndex> = changed.filter_map(|one| one.here).collect();
    match (pods, addresses.len()) {
        (0, addresses) => addresses > 1,
        (_, 1..) => true,
        (pods, 0) => pods > 1 && ingress && egress,
    }
}
