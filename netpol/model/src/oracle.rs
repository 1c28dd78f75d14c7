//! What `networking.k8s.io/v1` says, evaluated as plainly as it reads: for one packet, every policy is asked. The
//! compiler shares none of this but the selectors, and is tested against it.
//!
//! What the API leaves open is decided here: a node reaches its own pods and a pod reaches itself; pods in their node's
//! network are the node, and a finished pod is nobody; rules without ports allow every protocol, rules with ports allow
//! none that has no ports.

use std::fmt;
use std::net::IpAddr;

use crate::cluster::{Cluster, Name, Peer, Pod, Policy, Port, Ports, Protocol, Rule};

/// Who sends a packet, or to whom it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// A pod, and which of its addresses.
    Pod(Name, IpAddr),
    /// The node of the pod at the other side, or a process in its network.
    Node(IpAddr),
    /// What is neither: another node, or outside.
    Address(IpAddr),
}

impl Side {
    /// Its address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Pod(_, address) | Self::Node(address) | Self::Address(address) => *address,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(name, address) => write!(f, "pod {name} ({address})"),
            Self::Node(address) => write!(f, "the node ({address})"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What of a packet's content policies look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// To this port.
    Port(Protocol, u16),
    /// A protocol without ports, by its number: ICMP is 1.
    Other(u8),
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(protocol, port) => write!(f, "{protocol} port {port}"),
            Self::Other(1 | 58) => f.write_str("ICMP"),
            Self::Other(number) => write!(f, "IP protocol {number}"),
        }
    }
}

/// The first packet of a flow, its destination as the receiver has it: after every Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Who sends it.
    pub from: Side,
    /// Who gets it.
    pub to: Side,
    /// What it is.
    pub traffic: Traffic,
}

/// A direction, as a pod sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the pod.
    Ingress,
    /// From the pod.
    Egress,
}

/// What the policies of one end say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// They are not asked: this end is no pod, or both ends are the same pod, or the other end is its node.
    NotJudged,
    /// No policy isolates the pod in this direction.
    NotIsolated,
    /// A rule allows it.
    Allowed,
    /// Policies isolate the pod, and none has a rule that allows it.
    Denied,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// At the sender.
    pub egress: End,
    /// At the receiver.
    pub ingress: End,
}

impl Verdict {
    /// Whether it arrives.
    #[must_use]
    pub fn allowed(self) -> bool {
        self.egress != End::Denied && self.ingress != End::Denied
    }
}

/// Judges a packet at both of its ends.
#[must_use]
pub fn judge(cluster: &Cluster, packet: &Packet) -> Verdict {
    Verdict {
        egress: end(cluster, packet, Direction::Egress),
        ingress: end(cluster, packet, Direction::Ingress),
    }
}

/// Judges a packet at one of its ends.
#[must_use]
pub fn end(cluster: &Cluster, packet: &Packet, direction: Direction) -> End {
    let Some(pod) = judged(cluster, packet, direction) else {
        return End::NotJudged;
    };
    let mut isolated = false;
    for policy in cluster.policies.values() {
        let Some(rules) = isolating(policy, pod, direction) else {
            continue;
        };
        isolated = true;
        if rules
            .iter()
            .any(|rule| allows(cluster, policy, rule, packet, direction))
        {
            return End::Allowed;
        }
    }
    if isolated {
        End::Denied
    } else {
        End::NotIsolated
    }
}

/// The pod whose policies are asked.
pub(crate) fn judged<'a>(
    cluster: &'a Cluster,
    packet: &Packet,
    direction: Direction,
) -> Option<&'a Pod> {
    let (this, other) = match direction {
        Direction::Ingress => (&packet.to, &packet.from),
        Direction::Egress => (&packet.from, &packet.to),
    };
    let pod = pod(cluster, this)?;
    let itself = matches!(other, Side::Pod(name, _) if *name == pod.name);
    let its_node = direction == Direction::Ingress && matches!(other, Side::Node(_));
    (!itself && !its_node).then_some(pod)
}

/// The rules of `policy` for this direction, when it isolates `pod` in it.
pub(crate) fn isolating<'a>(
    policy: &'a Policy,
    pod: &Pod,
    direction: Direction,
) -> Option<&'a [Rule]> {
    let rules = match direction {
        Direction::Ingress => &policy.ingress,
        Direction::Egress => &policy.egress,
    };
    rules.as_deref().filter(|_| policy.selects(pod))
}

/// Whether `rule` allows the packet.
fn allows(
    cluster: &Cluster,
    policy: &Policy,
    rule: &Rule,
    packet: &Packet,
    direction: Direction,
) -> bool {
    has_peer(cluster, policy, rule, packet, direction) && has_port(cluster, rule, packet)
}

/// Whether `rule` means the packet's other end.
pub(crate) fn has_peer(
    cluster: &Cluster,
    policy: &Policy,
    rule: &Rule,
    packet: &Packet,
    direction: Direction,
) -> bool {
    let other = match direction {
        Direction::Ingress => &packet.from,
        Direction::Egress => &packet.to,
    };
    let mut peers = rule.peers.iter();
    rule.peers.is_empty() || peers.any(|peer| is_peer(cluster, policy, peer, other))
}

/// Whether `rule` means the packet's traffic.
pub(crate) fn has_port(cluster: &Cluster, rule: &Rule, packet: &Packet) -> bool {
    let receiver = pod(cluster, &packet.to);
    let mut ports = rule.ports.iter();
    rule.ports.is_empty() || ports.any(|port| is_port(port, receiver, packet.traffic))
}

fn is_peer(cluster: &Cluster, policy: &Policy, peer: &Peer, side: &Side) -> bool {
    match peer {
        Peer::Block(block) => block.contains(side.address()),
        Peer::Pods { namespaces, pods } => pod(cluster, side).is_some_and(|pod| {
            let here = match namespaces {
                None => pod.name.namespace == policy.name.namespace,
                Some(selector) => cluster
                    .namespaces
                    .get(&pod.name.namespace)
                    .is_some_and(|namespace| selector.matches(&namespace.labels)),
            };
            here && pods.matches(&pod.labels)
        }),
    }
}

fn is_port(port: &Port, receiver: Option<&Pod>, traffic: Traffic) -> bool {
    let Traffic::Port(protocol, number) = traffic else {
        return false;
    };
    if protocol != port.protocol {
        return false;
    }
    match &port.which {
        Ports::All => true,
        Ports::Range(first, last) => (*first..=*last).contains(&number),
        Ports::Named(name) => receiver.is_some_and(|pod| {
            pod.named_ports.iter().any(|known| {
                known.name == *name && known.protocol == protocol && known.port == number
            })
        }),
    }
}

/// The pod at this side, if it is one that policies know.
pub(crate) fn pod<'a>(cluster: &'a Cluster, side: &Side) -> Option<&'a Pod> {
    match side {
        Side::Pod(name, _) => cluster
            .pods
            .get(name)
            .map(|pod| &**pod)
            .filter(|pod| pod.is_peer()),
        Side::Node(_) | Side::Address(_) => None,
    }
}
