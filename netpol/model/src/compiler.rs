//! From the cluster to the maps of this node.

mod atoms;
mod ids;
mod inputs;
mod owners;
mod ports;
mod prefixes;
mod scratch;
mod sets;

use std::sync::Arc;

use crate::cluster::{Cluster, Name, Namespace, Pod, Policy};
use crate::tables::{Attachment, IfIndex, Tables, Update};
use ids::Key;
use inputs::{Attached, Inputs};

/// Keeps the cluster, and what of it the maps of this node hold.
///
/// It is told of one object after the other, in any order, and of what is attached to this node. What has to be
/// written is asked for with [`Compiler::take_update`].
#[derive(Debug)]
pub struct Compiler {
    key: Key,
    inputs: Inputs,
    written: Tables,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Policies of the cluster.
    pub policies: usize,
    /// Namespaces of the cluster.
    pub namespaces: usize,
    /// Pods of the cluster.
    pub pods: usize,
    /// Pods attached to this node.
    pub endpoints: usize,
    /// Addresses of pods.
    pub addresses: usize,
    /// Peers that rules of this node's pods name.
    pub atoms: usize,
    /// Classes of addresses.
    pub classes: usize,
    /// Policy sets.
    pub sets: usize,
    /// Cells: what a class may use of a set.
    pub cells: usize,
    /// Prefixes of all sets.
    pub prefixes: usize,
    /// Pages of ports.
    pub pages: usize,
    /// Port classes for which a pod's sets have no room: their ports are denied.
    pub left_out: usize,
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    /// A compiler that knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::keyed([0; 32])
    }

    /// One whose ids nobody can foresee who does not know `key`. They are 64 bits of a hash of what tenants write:
    /// one who knows the key can search for two contents of one id. A node keeps its key, or all maps are written anew.
    #[must_use]
    pub fn keyed(key: [u8; 32]) -> Self {
        Self {
            key: Key(key),
            inputs: Inputs::default(),
            written: Tables::default(),
        }
    }

    /// Adds a pod, or replaces the one of its name.
    pub fn set_pod(&mut self, pod: Pod) {
        let name = pod.name.clone();
        self.inputs.set_pod(&name, Some(Arc::new(pod)));
    }

    /// Removes a pod, unless another of its name is there by now.
    pub fn remove_pod(&mut self, name: &Name, uid: &str) {
        if self.pod(name).is_some_and(|pod| *pod.uid == *uid) {
            self.inputs.set_pod(name, None);
        }
    }

    /// Adds or replaces a namespace.
    pub fn set_namespace(&mut self, namespace: Namespace) {
        let name = Arc::clone(&namespace.name);
        self.inputs.cluster.namespaces.insert(name, namespace);
    }

    /// Removes a namespace: no selector matches it any more.
    pub fn remove_namespace(&mut self, name: &str) {
        self.inputs.cluster.namespaces.remove(name);
    }

    /// Adds or replaces a policy.
    pub fn set_policy(&mut self, policy: Policy) {
        let name = policy.name.clone();
        self.inputs.cluster.policies.insert(name, Arc::new(policy));
    }

    /// Removes a policy.
    pub fn remove_policy(&mut self, name: &Name) {
        self.inputs.cluster.policies.remove(name);
    }

    /// Says that a pod is behind an interface of this node. As long as the pod is not known, or only one of another
    /// UID, nothing may pass. An empty `uid` is that of any pod of the name.
    pub fn attach(&mut self, index: IfIndex, pod: Name, uid: &str, attachment: Attachment) {
        let attached = Attached {
            pod,
            uid: uid.into(),
            attachment,
        };
        self.inputs.set_attached(index, Some(attached));
    }

    /// Says that nothing is behind it any more.
    pub fn detach(&mut self, index: IfIndex) {
        self.inputs.set_attached(index, None);
    }

    /// What has to be written because of all that was told since the last call, in order. What nothing refers to any
    /// more is removed by a later update: packets that are being judged may still look at it. Ask again until
    /// [`Compiler::is_settled`].
    pub fn take_update(&mut self) -> Update {
        let tables = self.tables();
        let update = Update::between(&self.written, &tables);
        self.written = tables;
        update
    }

    /// Whether there is nothing to write or to remove.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.written == self.tables()
    }

    /// What the maps hold once every update is written, for a resync. Take and write the update before, and resync
    /// then.
    #[must_use]
    pub fn tables(&self) -> Tables {
        scratch::tables(&self.key, &self.inputs)
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let cluster = &self.inputs.cluster;
        let written = &self.written;
        Counts {
            policies: cluster.policies.len(),
            namespaces: cluster.namespaces.len(),
            pods: cluster.pods.len(),
            endpoints: self.inputs.attached.len(),
            addresses: written.addresses.len(),
            cells: written.cells.len(),
            prefixes: written.prefixes.len(),
            pages: written.pages.len(),
            ..Counts::default()
        }
    }

    /// All pods, namespaces and policies that are known, for the oracle and for `explain`.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.inputs.cluster
    }

    /// A pod.
    #[must_use]
    pub fn pod(&self, name: &Name) -> Option<&Pod> {
        self.inputs.cluster.pods.get(name).map(|pod| &**pod)
    }

    /// What is attached to an interface: the pod's name and UID, and how.
    #[must_use]
    pub fn attachment(&self, index: IfIndex) -> Option<(&Name, &str, &Attachment)> {
        let at = self.inputs.attached.get(&index)?;
        Some((&at.pod, &at.uid, &at.attachment))
    }

    /// The interfaces that a pod is attached to.
    #[must_use]
    pub fn interfaces(&self, pod: &Name) -> Vec<IfIndex> {
        self.inputs.interfaces(pod).collect()
    }
}
