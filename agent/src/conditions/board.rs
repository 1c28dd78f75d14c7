//! The board of conditions. Whoever looks for some replaces all that it found before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::Condition;
use super::alike::told;

/// Who found a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finder {
    /// The index over the cluster's nodes.
    Cluster,
    /// The source of cluster state.
    Source,
    /// The reconciler of the kernel's state.
    Kernel,
    /// The keeper of our nftables rules and observer of others'.
    Rules,
    /// The installer of plugin and configuration.
    Install,
    /// The collector of leases.
    Leases,
    /// The probe of checksums through the tunnel.
    Checksum,
    /// The writer of the Node's status.
    NodeStatus,
    /// The source of pods.
    Pods,
    /// The source of namespaces.
    Namespaces,
    /// The source of policies.
    Policies,
    /// The enforcer of policies.
    Policy,
}

/// All conditions that hold now, by who found them.
#[derive(Debug, Default)]
pub struct Board {
    found: Mutex<BTreeMap<Finder, BTreeSet<Condition>>>,
}

impl Board {
    /// Replaces what `finder` found before and logs what came and what went; many of one cause are one.
    pub fn replace(&self, finder: Finder, conditions: impl IntoIterator<Item = Condition>) {
        let new = told(conditions);
        let old = self.lock().insert(finder, new.clone()).unwrap_or_default();
        for condition in new.difference(&old) {
            tracing::warn!(condition = condition.name(), "{condition}");
        }
        for condition in old.difference(&new) {
            tracing::info!(condition = condition.name(), "no longer so: {condition}");
        }
    }

    /// Every condition that holds, many of one cause as one, without repetition.
    #[must_use]
    pub fn all(&self) -> BTreeSet<Condition> {
        self.lock().values().flatten().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Finder, BTreeSet<Condition>>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bad(text: &str) -> Condition {
        Condition::BadNode {
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_finder_replaces_only_its_own() {
        let board = Board::default();
        board.replace(Finder::Cluster, [bad("a"), bad("b")]);
        board.replace(Finder::Kernel, [bad("c")]);
        board.replace(Finder::Cluster, [bad("b")]);
        assert_eq!(board.all(), BTreeSet::from([bad("b"), bad("c")]));
    }
}
