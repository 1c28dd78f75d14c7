//! What the compiler is told: the cluster, and what is attached to this node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::alike::Alike;
use super::owners::{Owner, Owners};
use super::sets::Numbers;
use crate::cluster::{Cluster, Name, NamedPort, Namespace, Pod, Policy, Protocol, Uid};
use crate::tables::{Attachment, IfIndex};

/// What is attached to an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) pod: Name,
    pub(crate) uid: Uid,
    pub(crate) attachment: Attachment,
}

/// All that the compiler was told.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) cluster: Cluster,
    pub(crate) alike: Alike,
    pub(crate) attached: BTreeMap<IfIndex, Attached>,
    /// The interfaces of each pod that has one.
    by_pod: BTreeMap<Name, BTreeSet<IfIndex>>,
    pub(crate) owners: Owners,
    pub(crate) numbers: PortNumbers,
}

impl Inputs {
    /// The pod that is attached there; `None` when it is not known, or only an older or later pod of its name is.
    pub(crate) fn pod_at(&self, attached: &Attached) -> Option<&Arc<Pod>> {
        let pod = self.cluster.pods.get(&attached.pod)?;
        (attached.uid.is_empty() || attached.uid == pod.uid).then_some(pod)
    }

    /// Who has an address: its pod, when it is known, and its interface, when it is here.
    pub(crate) fn owner(&self, address: IpAddr) -> Option<(Option<&Arc<Pod>>, Option<IfIndex>)> {
        self.owners.get(address).map(|owner| self.resolve(owner))
    }

    pub(crate) fn resolve<'a>(
        &'a self,
        owner: &'a Owner,
    ) -> (Option<&'a Arc<Pod>>, Option<IfIndex>) {
        match owner {
            Owner::Pod(pod) => (Some(pod), None),
            Owner::Attached(index) => {
                let pod = self.attached.get(index).and_then(|at| self.pod_at(at));
                (pod, Some(*index))
            }
        }
    }

    pub(crate) fn namespace_of(&self, pod: &Pod) -> Option<&Namespace> {
        self.cluster.namespaces.get(&pod.name.namespace)
    }

    /// The policies of a namespace.
    pub(crate) fn policies(&self, namespace: &Arc<str>) -> impl Iterator<Item = &Arc<Policy>> {
        let first = Name {
            namespace: Arc::clone(namespace),
            name: "".into(),
        };
        let namespace = Arc::clone(namespace);
        let policies = self.cluster.policies.range(first..);
        let policies = policies.take_while(move |(name, _)| name.namespace == namespace);
        policies.map(|(_, policy)| policy)
    }

    /// The pods of a namespace.
    pub(crate) fn pods_in(&self, namespace: &Arc<str>) -> impl Iterator<Item = &Arc<Pod>> {
        self.cluster.pods.of_namespace(namespace)
    }

    /// The addresses that a pod has, by its status and by what is attached.
    pub(crate) fn addresses_of(&self, pod: &Arc<Pod>) -> impl Iterator<Item = IpAddr> {
        let attached = self.interfaces(&pod.name);
        let attached = attached.filter_map(|index| self.attached.get(&index));
        let attached = attached.flat_map(|at| &at.attachment.addresses);
        let addresses: BTreeSet<IpAddr> = pod.addresses.iter().chain(attached).copied().collect();
        let is_owner = |address: &IpAddr| {
            let owner = self.owner(*address).and_then(|(owner, _)| owner);
            owner.is_some_and(|owner| Arc::ptr_eq(owner, pod))
        };
        addresses.into_iter().filter(is_owner)
    }

    /// The addresses of pods of a namespace.
    pub(crate) fn addresses_in(&self, namespace: &str) -> BTreeSet<IpAddr> {
        let in_it = |(address, owner)| {
            let pod = self.resolve(owner).0?;
            (*pod.name.namespace == *namespace).then_some(address)
        };
        self.owners.iter().filter_map(in_it).collect()
    }

    /// The interfaces whose pods these are.
    pub(crate) fn endpoints(&self, which: impl Fn(&Pod) -> bool) -> BTreeSet<IfIndex> {
        let which = |at: &Attached| self.pod_at(at).is_some_and(|pod| which(pod));
        let attached = self.attached.iter().filter(|(_, at)| which(at));
        attached.map(|(index, _)| *index).collect()
    }

    /// Interfaces that a pod is attached to.
    pub(crate) fn interfaces(&self, pod: &Name) -> impl Iterator<Item = IfIndex> {
        self.by_pod.get(pod).into_iter().flatten().copied()
    }

    /// Replaces, adds or removes a pod. Returns the addresses that may have another owner or class now.
    pub(crate) fn set_pod(&mut self, name: &Name, pod: Option<Arc<Pod>>) -> BTreeSet<IpAddr> {
        let before = match &pod {
            Some(pod) => self.cluster.pods.insert(Arc::clone(pod)),
            None => self.cluster.pods.remove(name),
        };
        if let Some(before) = &before {
            self.alike.remove(before);
        }
        if let Some(pod) = &pod {
            self.alike.add(pod);
        }
        let mut touched = BTreeSet::new();
        if let Some(before) = before.filter(|before| before.is_peer()) {
            touched.extend(&before.addresses);
            let same = pod
                .as_ref()
                .filter(|pod| pod.is_peer() && pod.uid == before.uid);
            for address in &before.addresses {
                if same.is_none_or(|pod| !pod.addresses.contains(address)) {
                    self.owners
                        .withdraw(*address, &Owner::Pod(Arc::clone(&before)));
                }
            }
        }
        if let Some(pod) = pod.filter(|pod| pod.is_peer()) {
            touched.extend(&pod.addresses);
            for address in &pod.addresses {
                self.owners.claim(*address, Owner::Pod(Arc::clone(&pod)));
            }
        }
        for index in self.interfaces(name).collect::<Vec<_>>() {
            touched.extend(self.claim_attached(index));
        }
        touched
    }

    /// Replaces, adds or removes what is attached to an interface. Returns as [`Self::set_pod`] does.
    pub(crate) fn set_attached(
        &mut self,
        index: IfIndex,
        at: Option<Attached>,
    ) -> BTreeSet<IpAddr> {
        let mut touched = BTreeSet::new();
        if let Some(before) = self.attached.remove(&index) {
            let left = self.by_pod.get_mut(&before.pod);
            if left.is_some_and(|left| left.remove(&index) && left.is_empty()) {
                self.by_pod.remove(&before.pod);
            }
            for address in &before.attachment.addresses {
                self.owners.withdraw(*address, &Owner::Attached(index));
                touched.insert(*address);
            }
        }
        if let Some(at) = at {
            self.by_pod.entry(at.pod.clone()).or_default().insert(index);
            self.attached.insert(index, at);
            touched.extend(self.claim_attached(index));
        }
        touched
    }

    /// An attachment has its addresses, unless its pod is known to have none of its own any more.
    fn claim_attached(&mut self, index: IfIndex) -> Vec<IpAddr> {
        let Some(at) = self.attached.get(&index) else {
            return Vec::new();
        };
        let claims = self.pod_at(at).is_none_or(|pod| pod.is_peer());
        for address in &at.attachment.addresses {
            if claims {
                self.owners.claim(*address, Owner::Attached(index));
            } else {
                self.owners.withdraw(*address, &Owner::Attached(index));
            }
        }
        at.attachment.addresses.clone()
    }
}

/// How many pods give a port name a number.
#[derive(Debug, Default)]
pub(crate) struct PortNumbers(HashMap<(Arc<str>, Protocol), BTreeMap<u16, usize>>);

impl PortNumbers {
    /// Counts ports in. Returns those of which a number is new.
    pub(crate) fn add(&mut self, ports: &[NamedPort]) -> BTreeSet<(Arc<str>, Protocol)> {
        let mut new = BTreeSet::new();
        for port in ports {
            let name = (Arc::clone(&port.name), port.protocol);
            let numbers = self.0.entry(name.clone()).or_default();
            let count = numbers.entry(port.port).or_default();
            *count += 1;
            if *count == 1 {
                new.insert(name);
            }
        }
        new
    }

    /// Counts ports out. Returns those of which a number is gone.
    pub(crate) fn remove(&mut self, ports: &[NamedPort]) -> BTreeSet<(Arc<str>, Protocol)> {
        let mut gone = BTreeSet::new();
        for port in ports {
            let name = (Arc::clone(&port.name), port.protocol);
            let Some(numbers) = self.0.get_mut(&name) else {
                continue;
            };
            if let Some(count) = numbers.get_mut(&port.port) {
                *count -= 1;
                if *count == 0 {
                    numbers.remove(&port.port);
                    gone.insert(name.clone());
                }
            }
            if numbers.is_empty() {
                self.0.remove(&name);
            }
        }
        gone
    }
}

impl Numbers for PortNumbers {
    fn of(&self, name: &Arc<str>, protocol: Protocol) -> Vec<u16> {
        let numbers = self.0.get(&(Arc::clone(name), protocol));
        numbers
            .map(|numbers| numbers.keys().copied().collect())
            .unwrap_or_default()
    }
}
