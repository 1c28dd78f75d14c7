//! From the cluster to the maps of this node.

mod alike;
mod atoms;
mod by_address;
mod by_label;
mod classes;
mod flips;
mod ids;
mod inputs;
mod live;
mod meet;
mod owners;
mod ports;
mod prefixes;
mod scratch;
mod sets;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::{Cluster, Name, NamedPort, Namespace, Pod, Policy, Protocol, Uid};
use crate::oracle::{self, Direction};
use crate::tables::{Attachment, ClassId, IfIndex, SetId, Tables, Update};
use ids::Key;
use inputs::{Attached, Inputs};
use state::State;

/// Keeps the cluster, and what of it the maps of this node hold.
///
/// It is told of one object after the other, in any order, and of what is attached to this node. What has to be
/// written is asked for with [`Compiler::take_update`]. At each moment between two writes, what may pass is what the
/// cluster allowed after one or the other of two events that followed each other, and what it allowed after both
/// passes.
///
/// Until the first update is taken, nothing is worked out: an agent that starts tells all that it knows, takes an
/// update, and brings the maps, which hold what an earlier agent wrote, to [`Compiler::tables`].
#[derive(Debug)]
pub struct Compiler {
    inputs: Inputs,
    state: State,
    started: bool,
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
            inputs: Inputs::default(),
            state: State::new(Key(key)),
            started: false,
        }
    }

    /// Adds a pod, or replaces the one of its name.
    pub fn set_pod(&mut self, pod: Pod) {
        let name = pod.name.clone();
        self.replace_pod(&name, Some(Arc::new(pod)));
    }

    /// Removes a pod, unless another of its name is there by now.
    pub fn remove_pod(&mut self, name: &Name, uid: impl Into<Uid>) {
        let uid = uid.into();
        if self.pod(name).is_some_and(|pod| pod.uid == uid) {
            self.replace_pod(name, None);
        }
    }

    /// A number that a port name gets with this pod is in the rules before the pod is, and one that it has no more
    /// is in them after: so neither changes a verdict.
    fn replace_pod(&mut self, name: &Name, pod: Option<Arc<Pod>>) {
        let ports = |pod: Option<&Arc<Pod>>| -> Arc<[NamedPort]> {
            let pod = pod.filter(|pod| pod.is_peer());
            pod.map_or_else(|| [].into(), |pod| Arc::clone(&pod.named_ports))
        };
        let before = self.inputs.cluster.pods.get(name);
        if before == pod.as_ref() {
            return;
        }
        let (before, now) = (ports(before), ports(pod.as_ref()));
        let new = self.inputs.numbers.add(&now);
        self.renumber(&new);
        let touched = self.inputs.set_pod(name, pod);
        let endpoints = self.inputs.interfaces(name).collect();
        self.advance(touched, endpoints);
        let gone = self.inputs.numbers.remove(&before);
        self.renumber(&gone);
    }

    fn renumber(&mut self, ports: &BTreeSet<(Arc<str>, Protocol)>) {
        if !ports.is_empty() {
            let endpoints = self.state.asking(ports).collect();
            self.advance(BTreeSet::new(), endpoints);
        }
    }

    /// Adds or replaces a namespace.
    pub fn set_namespace(&mut self, namespace: Namespace) {
        let name = Arc::clone(&namespace.name);
        self.replace_namespace(&name, Some(namespace));
    }

    /// Removes a namespace: no selector matches it any more.
    pub fn remove_namespace(&mut self, name: &str) {
        self.replace_namespace(&name.into(), None);
    }

    fn replace_namespace(&mut self, name: &Arc<str>, namespace: Option<Namespace>) {
        let namespaces = &mut self.inputs.cluster.namespaces;
        let same = namespaces.get(name) == namespace.as_ref();
        match namespace {
            Some(namespace) => namespaces.insert(Arc::clone(name), namespace),
            None => namespaces.remove(name),
        };
        if self.started && !same {
            let touched = self.inputs.addresses_in(name);
            self.advance(touched, BTreeSet::new());
        }
    }

    /// Adds or replaces a policy.
    pub fn set_policy(&mut self, policy: Policy) {
        let name = policy.name.clone();
        self.replace_policy(&name, Some(&Arc::new(policy)));
    }

    /// Removes a policy.
    pub fn remove_policy(&mut self, name: &Name) {
        self.replace_policy(name, None);
    }

    fn replace_policy(&mut self, name: &Name, policy: Option<&Arc<Policy>>) {
        let policies = &mut self.inputs.cluster.policies;
        let before = match policy {
            Some(policy) => policies.insert(name.clone(), Arc::clone(policy)),
            None => policies.remove(name),
        };
        if before.as_ref() != policy {
            let selected = |pod: &Pod| {
                let mut either = [before.as_ref(), policy].into_iter().flatten();
                either.any(|policy| policy.selects(pod))
            };
            let endpoints = self.inputs.endpoints(selected);
            self.advance(BTreeSet::new(), endpoints);
        }
    }

    /// Says that a pod is behind an interface of this node. As long as the pod is not known, or only one of another
    /// UID, nothing may pass. An empty `uid` is that of any pod of the name.
    pub fn attach(
        &mut self,
        index: IfIndex,
        pod: Name,
        uid: impl Into<Uid>,
        attachment: Attachment,
    ) {
        let attached = Attached {
            pod,
            uid: uid.into(),
            attachment,
        };
        let before = self.inputs.attached.get(&index);
        if before == Some(&attached) {
            return;
        }
        if before.is_some_and(|before| before.pod != attached.pod || before.uid != attached.uid) {
            self.detach(index);
        }
        let touched = self.inputs.set_attached(index, Some(attached));
        self.advance(touched, BTreeSet::from([index]));
    }

    /// Says that nothing is behind it any more.
    pub fn detach(&mut self, index: IfIndex) {
        let touched = self.inputs.set_attached(index, None);
        self.advance(touched, BTreeSet::from([index]));
    }

    fn advance(&mut self, addresses: BTreeSet<IpAddr>, endpoints: BTreeSet<IfIndex>) {
        if self.started {
            self.state
                .advance(&self.inputs, addresses, endpoints, false);
        }
    }

    /// What has to be written because of all that was told since the last call, in order. What nothing refers to any
    /// more is removed by a later update: packets that are being judged may still look at it. So ask again, at the next
    /// event or a while later, until [`Compiler::is_settled`].
    pub fn take_update(&mut self) -> Update {
        if !self.started {
            self.started = true;
            let addresses = self
                .inputs
                .owners
                .iter()
                .map(|(address, _)| address)
                .collect();
            self.state
                .advance(&self.inputs, addresses, BTreeSet::new(), true);
            let endpoints = self.inputs.attached.keys().copied().collect();
            self.state
                .advance(&self.inputs, BTreeSet::new(), endpoints, true);
        }
        self.state.take()
    }

    /// Whether there is nothing to write or to remove.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.started && self.state.is_settled()
    }

    /// What the maps hold once all writes are made, for a resync: those of updates that were taken, and those of the
    /// next. Take that one before and drop it, or write it. Until the first is taken all is worked out anew.
    #[must_use]
    pub fn tables(&self) -> Tables {
        if self.started {
            self.state.tables()
        } else {
            scratch::tables(&self.state.key, &self.inputs)
        }
    }

    /// The pod that has an address, as far as this node knows.
    #[must_use]
    pub fn owner(&self, address: IpAddr) -> Option<&Pod> {
        let (pod, _) = self.inputs.owner(address)?;
        pod.map(|pod| &**pod)
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let cluster = &self.inputs.cluster;
        Counts {
            policies: cluster.policies.len(),
            namespaces: cluster.namespaces.len(),
            pods: cluster.pods.len(),
            endpoints: self.inputs.attached.len(),
            ..self.state.counts()
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
    pub fn attachment(&self, index: IfIndex) -> Option<(&Name, &Uid, &Attachment)> {
        let at = self.inputs.attached.get(&index)?;
        Some((&at.pod, &at.uid, &at.attachment))
    }

    /// The interfaces that a pod is attached to.
    #[must_use]
    pub fn interfaces(&self, pod: &Name) -> Vec<IfIndex> {
        self.inputs.interfaces(pod).collect()
    }

    /// Which directions of which endpoints have a set, by itself or behind another.
    #[must_use]
    pub fn holders(&self, set: SetId) -> Vec<(IfIndex, Direction)> {
        self.state.holders(set)
    }

    /// The policies that isolate a pod in this direction.
    #[must_use]
    pub fn isolating(&self, pod: &Name, direction: Direction) -> Vec<&Policy> {
        let Some(pod) = self.pod(pod) else {
            return Vec::new();
        };
        let policies = self.inputs.policies(&pod.name.namespace);
        let isolates = |policy: &&Arc<Policy>| oracle::isolating(policy, pod, direction).is_some();
        policies.filter(isolates).map(|policy| &**policy).collect()
    }

    /// The addresses of a class, in no order.
    pub fn addresses(&self, class: ClassId) -> impl Iterator<Item = IpAddr> {
        self.state.addresses(class)
    }
}
