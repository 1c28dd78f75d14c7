//! What of the cluster `NetworkPolicy` looks at: pods, namespaces and policies, as plain values.

mod pods;
mod uid;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

pub use pods::Pods;
pub use uid::Uid;

/// Labels of one object, in the order of their keys. One allocation, and none for those who share it: pods of one
/// deployment have the same labels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Labels(Arc<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The value of the label `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|(known, _)| (**known).cmp(key));
        at.ok().map(|at| &self.0[at].1)
    }

    /// Whether others hold them too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<str>)> {
        self.0.iter().map(|(key, value)| (key, value))
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for Labels {
    /// Of two values for one key the later counts.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()));
        Self(pairs.collect::<BTreeMap<_, _>>().into_iter().collect())
    }
}

/// Names a pod, or a policy, in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name there.
    pub name: Arc<str>,
}

/// Protocols that have ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
    /// IP protocol 132.
    Sctp,
}

/// A port of a container that has a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedPort {
    /// Its name.
    pub name: Arc<str>,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

/// What a pod may send from beside its own addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Sources {
    /// Nothing else.
    #[default]
    Own,
    /// These too.
    Also(Arc<[IpNetwork]>),
    /// Anything.
    Any,
}

/// A pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace and name.
    pub name: Name,
    /// Its UID: a later pod of the same name is another pod.
    pub uid: Uid,
    /// The node that it was bound to; empty before.
    pub node: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses as its status tells them.
    pub addresses: Vec<IpAddr>,
    /// It uses its node's network: it is the node, and no selector matches it.
    pub host_network: bool,
    /// Its phase is Succeeded or Failed: its addresses may be another's by now.
    pub finished: bool,
    /// Ports that policies may name.
    pub named_ports: Arc<[NamedPort]>,
    /// What it may send from.
    pub sources: Sources,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Its name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
}

/// One requirement of a selector (`matchExpressions`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// The label is there with one of these values.
    In(Arc<str>, Vec<Arc<str>>),
    /// The label is not there, or has none of these values.
    NotIn(Arc<str>, Vec<Arc<str>>),
    /// The label is there.
    Exists(Arc<str>),
    /// The label is not there.
    DoesNotExist(Arc<str>),
}

/// A label selector; without requirements it matches everything. `matchLabels` are requirements of one value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Selector {
    /// All must hold.
    pub requirements: Vec<Requirement>,
}

/// A block of addresses without some inside it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpBlock {
    /// The block, without host bits.
    pub cidr: IpNetwork,
    /// What is not meant, each inside of `cidr`.
    pub except: Vec<IpNetwork>,
}

/// One entry of `from` or `to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Peer {
    /// Pods by their labels, in namespaces by theirs.
    Pods {
        /// `namespaceSelector`; `None`: the policy's own namespace.
        namespaces: Option<Selector>,
        /// `podSelector`; absent it matches every pod.
        pods: Selector,
    },
    /// Addresses, whoever has them.
    Block(IpBlock),
}

/// One entry of `ports`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// TCP unless told.
    pub protocol: Protocol,
    /// Which of its ports.
    pub which: Ports,
}

/// The ports that an entry of `ports` means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ports {
    /// All of the protocol.
    All,
    /// From `port` to `endPort`, both included.
    Range(u16, u16),
    /// The port that the receiving pod gives this name.
    Named(Arc<str>),
}

/// One rule of a direction: traffic is allowed that matches one of `peers` and one of `ports`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Rule {
    /// Empty: every peer, pod or not.
    pub peers: Vec<Peer>,
    /// Empty: every port, and every protocol.
    pub ports: Vec<Port>,
}

/// A `NetworkPolicy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its namespace and name.
    pub name: Name,
    /// Which pods of its namespace it selects.
    pub pods: Selector,
    /// `Some` when `policyTypes` has Ingress: the pods are isolated in it but for these rules.
    pub ingress: Option<Vec<Rule>>,
    /// The same for Egress.
    pub egress: Option<Vec<Rule>>,
}

/// All that policy looks at. What refers to something that is not there refers to nothing: a namespace that is not
/// known is matched by no selector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cluster {
    /// Namespaces by name.
    pub namespaces: BTreeMap<Arc<str>, Namespace>,
    /// Pods.
    pub pods: Pods,
    /// Policies by name.
    pub policies: BTreeMap<Name, Arc<Policy>>,
}

impl Requirement {
    /// Whether `labels` meet it.
    #[must_use]
    pub fn holds(&self, labels: &Labels) -> bool {
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.get(key).is_some(),
            Self::DoesNotExist(key) => labels.get(key).is_none(),
        }
    }
}

impl Selector {
    /// Whether it selects an object with these labels.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.requirements.iter().all(|one| one.holds(labels))
    }
}

impl IpBlock {
    /// Whether it means this address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.cidr.contains(address) && !self.except.iter().any(|except| except.contains(address))
    }
}

impl Pod {
    /// Whether selectors may match it: it is neither its node nor finished.
    #[must_use]
    pub fn is_peer(&self) -> bool {
        !self.host_network && !self.finished
    }
}

impl Policy {
    /// Whether it selects `pod`.
    #[must_use]
    pub fn selects(&self, pod: &Pod) -> bool {
        !pod.host_network
            && pod.name.namespace == self.name.namespace
            && self.pods.matches(&pod.labels)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        })
    }
}
