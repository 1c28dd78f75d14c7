//! Topology: a volume is where its node is.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// The key of a node's segment; fixed for ever, it stands in persistent volumes.
pub const KEY: &str = "topology.lvm.fairlead.io/node";

/// No topology that is asked for is this node's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no requisite topology is this node's: {KEY}={node} is needed, {asked} is asked")]
pub struct TopologyError {
    /// This node.
    pub node: String,
    /// What was asked, for reading.
    pub asked: String,
}

/// The segments of a node.
#[must_use]
pub fn segments(node: &str) -> HashMap<String, String> {
    HashMap::from([(KEY.to_owned(), node.to_owned())])
}

/// Checks that a volume on `node` satisfies the requirement: it may be in any one of the requisite
/// topologies. Without any, everything is satisfied; preferred ones only order, and there is one node.
///
/// # Errors
/// Requisite topologies, none of which is this node's (`RESOURCE_EXHAUSTED` by the specification).
pub fn check<S: BuildHasher>(
    requisite: &[HashMap<String, String, S>],
    node: &str,
) -> Result<(), TopologyError> {
    let mine = |segments: &HashMap<String, String, S>| {
        // A segment of a key that the node does not report is none that it is in.
        segments.len() == 1 && segments.get(KEY).is_some_and(|value| value == node)
    };
    if requisite.is_empty() || requisite.iter().any(mine) {
        return Ok(());
    }
    let asked: Vec<_> = requisite
        .iter()
        .map(|segments| {
            let sorted: BTreeMap<_, _> = segments.iter().collect();
            let pairs: Vec<_> = sorted
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            pairs.join(",")
        })
        .collect();
    Err(TopologyError {
        node: node.to_owned(),
        asked: asked.join(" or "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::hash_map::RandomState;

    #[test]
    fn a_requirement_is_met_by_any_of_its_topologies() {
        assert_eq!(check::<RandomState>(&[], "n1"), Ok(()));
        assert_eq!(check(&[segments("n2"), segments("n1")], "n1"), Ok(()));
        assert_eq!(
            check(&[segments("n2"), segments("n3")], "n1")
                .unwrap_err()
                .to_string(),
            "no requisite topology is this node's: topology.lvm.fairlead.io/node=n1 is needed, \
             topology.lvm.fairlead.io/node=n2 or topology.lvm.fairlead.io/node=n3 is asked"
        );
        let zone = HashMap::from([("zone".to_owned(), "a".to_owned())]);
        assert!(check(&[zone], "n1").is_err());
    }
}
