//! What the compiler is told: the cluster, and what is attached to this node.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::owners::{Owner, Owners};
use super::sets::Numbers;
use crate::cluster::{Cluster, Name, NamedPort, Namespace, Pod, Policy, Protocol};
use crate::tables::{Attachment, IfIndex};

/// What is attached to an interface.
#[derive(Debug, Clone)]
pub(crate) struct Attached {
    pub(crate) pod: Name,
    pub(crate) uid: Arc<str>,
    pub(crate) attachment: Attachment,
}

/// All that the compiler was told.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    pub(crate) cluster: Cluster,
    pub(crate) attached: BTreeMap<IfIndex, Attached>,
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
        self.cluster
            .policies
            .range(first..)
            .map(|(_, policy)| policy)
            .take_while(|policy| policy.name.namespace == *namespace)
    }

    /// Interfaces that a pod is attached to.
    pub(crate) fn interfaces<'a>(&'a self, pod: &'a Name) -> impl Iterator<Item = IfIndex> + 'a {
        let here = self.attached.iter().filter(|(_, at)| at.pod == *pod);
        here.map(|(index, _)| *index)
    }

    /// Replaces, adds or removes a pod. Returns the addresses that may have another owner or class now.
    pub(crate) fn set_pod(&mut self, name: &Name, pod: Option<Arc<Pod>>) -> BTreeSet<IpAddr> {
        let before = match &pod {
            Some(pod) => self.cluster.pods.insert(name.clone(), Arc::clone(pod)),
            None => self.cluster.pods.remove(name),
        };
        self.numbers.replace(before.as_deref(), pod.as_deref());
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
            for address in &before.attachment.addresses {
                self.owners.withdraw(*address, &Owner::Attached(index));
                touched.insert(*address);
            }
        }
        if let Some(at) = at {
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
    fn replace(&mut self, before: Option<&Pod>, now: Option<&Pod>) {
        let ports = |pod: Option<&Pod>| -> Option<Arc<[NamedPort]>> {
            pod.filter(|pod| pod.is_peer())
                .map(|pod| Arc::clone(&pod.named_ports))
        };
        let (before, now) = (ports(before), ports(now));
        if before == now {
            return;
        }
        for port in now.iter().flat_map(|ports| ports.iter()) {
            let of = self
                .0
                .entry((Arc::clone(&port.name), port.protocol))
                .or_default();
            *of.entry(port.port).or_default() += 1;
        }
        for port in before.iter().flat_map(|ports| ports.iter()) {
            self.remove(port);
        }
    }

    fn remove(&mut self, port: &NamedPort) {
        let key = (Arc::clone(&port.name), port.protocol);
        let Some(of) = self.0.get_mut(&key) else {
            return;
        };
        if let Some(count) = of.get_mut(&port.port) {
            *count -= 1;
            if *count == 0 {
                of.remove(&port.port);
            }
        }
        if of.is_empty() {
            self.0.remove(&key);
        }
    }
}

impl Numbers for PortNumbers {
    fn of(&self, name: &str, protocol: Protocol) -> Vec<u16> {
        let of = self.0.get(&(name.into(), protocol));
        of.map(|of| of.keys().copied().collect())
            .unwrap_or_default()
    }
}
