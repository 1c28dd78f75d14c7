//! What the worker says of itself: metrics, conditions, and what answers are made of.

use fairlead_netpol_datapath::{Datapath, DatapathError, Reason, VerdictCount};
use fairlead_netpol_model::tables::IfIndex;

use super::Worker;
use crate::conditions::{Condition, Finder};

impl Worker {
    /// Counts an error and says what it is.
    pub(super) fn failed(&self, error: &DatapathError) -> String {
        self.setup.metrics.error("policy");
        crate::error::with_causes(error)
    }

    /// Shows what there is, and what is wrong.
    pub(super) fn tell(&mut self) {
        let counts = self.compiler.counts();
        self.setup
            .metrics
            .policy
            .show(&counts, self.attachments.iter().count());
        let conditions = self.conditions();
        if conditions != self.told {
            self.setup.board.replace(Finder::Policy, conditions.clone());
            self.told = conditions;
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut all = Vec::new();
        let node = || self.setup.node.clone();
        if let Some(text) = self.unsupported.clone() {
            all.push(Condition::PolicyOff { node: node(), text });
        }
        let failing = self.failing.iter().chain(&self.link_errors);
        all.extend(failing.map(|text| Condition::Failing { text: text.clone() }));
        let full = self
            .datapath
            .as_ref()
            .map(Datapath::full)
            .unwrap_or_default();
        all.extend(full.iter().map(|full| Condition::PolicyMapFull {
            text: full.to_string(),
        }));
        let removed = self.repaired.keys();
        all.extend(removed.map(|link| Condition::FilterRemoved { link: link.clone() }));
        let starts = |link| {
            self.waiting
                .iter()
                .any(|waiting| waiting.note.if_index == link)
        };
        let unknown = self
            .attachments
            .iter()
            .filter(|(link, _)| self.enforcing && !starts(*link) && !self.is_known(*link));
        all.extend(unknown.map(|(_, on)| Condition::PodUnknown {
            pod: on.note.pod.to_string(),
            link: on.note.host_link.clone(),
        }));
        all
    }

    /// The programs that are on the link, and whether they are ours.
    pub(in crate::policy) fn has_programs(&self, link: IfIndex) -> bool {
        self.links.has(link)
    }

    pub(in crate::policy) fn is_enforcing(&self) -> bool {
        self.enforcing
    }

    /// Packets that the sets of rules of the pod on a link dropped. Pods under the same policies have the same sets.
    pub(in crate::policy) fn drops(&self, link: IfIndex) -> u64 {
        let Some(datapath) = &self.datapath else {
            return 0;
        };
        let by = self.attachments.get(link).and_then(|on| on.judged.by);
        let sets = by.unwrap_or_default().0;
        let verdicts = datapath.verdicts().unwrap_or_default();
        let of = |verdict: &&VerdictCount| {
            verdict.reason != Reason::Allowed && sets.contains(&Some(verdict.set.0))
        };
        verdicts
            .iter()
            .filter(of)
            .map(|verdict| verdict.count)
            .sum()
    }

    pub(in crate::policy) fn troubles(&self) -> Vec<String> {
        self.told.iter().map(ToString::to_string).collect()
    }
}
