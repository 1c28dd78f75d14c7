//! Atoms: the peers of rules, each once. What an address is to this node's policies is the list of atoms that match
//! it, its class.

use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::ids::{Digest, Key, Kind};
use super::inputs::Inputs;
use crate::cluster::{
    IpBlock, Labels, NamedPort, Namespace, Peer, Pod, Policy, Requirement, Selector,
};

/// Names an atom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AtomId(pub(crate) u64);

/// A peer, in the one form that all peers of its meaning and writing have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Atom {
    pub(crate) who: Who,
    /// Only pods that have this port: a named port of an egress rule has the number that the peer gives it.
    pub(crate) port: Option<NamedPort>,
}

/// Whom an atom matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// Every pod: a rule without peers, when a port is asked for.
    Any,
    /// Pods of one namespace.
    Here(Arc<str>, Selector),
    /// Pods of the namespaces that the first selects.
    Pods(Selector, Selector),
    /// Addresses.
    Block(IpBlock),
}

/// What of a pod atoms look at, beside its address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a Arc<str>,
    /// `None`: the namespace is not known, and no selector matches it.
    pub(crate) namespace: Option<&'a Namespace>,
    pub(crate) labels: &'a Labels,
    pub(crate) ports: &'a [NamedPort],
}

impl<'a> Subject<'a> {
    pub(crate) fn new(pod: &'a Pod, namespace: Option<&'a Namespace>) -> Self {
        Self {
            name: &pod.name.namespace,
            namespace,
            labels: &pod.labels,
            ports: &pod.named_ports,
        }
    }
}

impl Atom {
    pub(crate) fn new(policy: &Policy, peer: &Peer) -> Self {
        let who = match peer {
            Peer::Pods {
                namespaces: None,
                pods,
            } => Who::Here(Arc::clone(&policy.name.namespace), canonical(pods)),
            Peer::Pods {
                namespaces: Some(namespaces),
                pods,
            } => Who::Pods(canonical(namespaces), canonical(pods)),
            Peer::Block(block) => Who::Block(canonical_block(block)),
        };
        Self { who, port: None }
    }

    pub(crate) fn id(&self, key: &Key) -> AtomId {
        let mut digest = Digest::new(key, Kind::Atom);
        match &self.who {
            Who::Any => digest.number(0),
            Who::Here(namespace, pods) => {
                digest.number(1);
                digest.text(namespace);
                digest.selector(pods);
            }
            Who::Pods(namespaces, pods) => {
                digest.number(2);
                digest.selector(namespaces);
                digest.selector(pods);
            }
            Who::Block(block) => {
                digest.number(3);
                digest.text(&block.cidr.to_string());
                digest.number(block.except.len() as u64);
                for except in &block.except {
                    digest.text(&except.to_string());
                }
            }
        }
        digest.number(u64::from(self.port.is_some()));
        if let Some(port) = &self.port {
            digest.text(&port.name);
            digest.protocol(port.protocol);
            digest.number(port.port.into());
        }
        AtomId(digest.id())
    }

    /// The block, when addresses without a pod can match.
    pub(crate) fn block(&self) -> Option<&IpBlock> {
        match (&self.who, &self.port) {
            (Who::Block(block), None) => Some(block),
            _ => None,
        }
    }

    /// The prefix of its block, whatever else it asks.
    pub(crate) fn cidr(&self) -> Option<IpNetwork> {
        match &self.who {
            Who::Block(block) => Some(block.cidr),
            _ => None,
        }
    }

    /// What it asks of pods' labels.
    pub(crate) fn pods(&self) -> Option<&Selector> {
        match &self.who {
            Who::Here(_, pods) | Who::Pods(_, pods) => Some(pods),
            Who::Any | Who::Block(_) => None,
        }
    }

    /// The namespaces that its pods are in, when they are no more than `few`.
    pub(crate) fn namespaces<'a>(
        &'a self,
        inputs: &'a Inputs,
        few: usize,
    ) -> Option<Vec<&'a Arc<str>>> {
        match &self.who {
            Who::Any => None,
            Who::Here(namespace, _) => Some(vec![namespace]),
            Who::Pods(selector, _) => {
                let known = inputs.cluster.namespaces.values();
                let selected = known.filter(|one| selector.matches(&one.labels));
                let selected: Vec<_> = selected.map(|one| &one.name).take(few + 1).collect();
                (selected.len() <= few).then_some(selected)
            }
            Who::Block(_) => Some(Vec::new()),
        }
    }

    /// Whether it matches a pod whatever its address is. Never for blocks.
    pub(crate) fn matches(&self, pod: &Subject<'_>) -> bool {
        let who = match &self.who {
            Who::Any => true,
            Who::Here(namespace, pods) => namespace == pod.name && pods.matches(pod.labels),
            Who::Pods(namespaces, pods) => pod
                .namespace
                .is_some_and(|known| namespaces.matches(&known.labels) && pods.matches(pod.labels)),
            Who::Block(_) => false,
        };
        who && self.port_matches(Some(pod))
    }

    /// Whether it matches an address, and the pod that has it, by its block.
    pub(crate) fn matches_address(&self, address: IpAddr, pod: Option<&Subject<'_>>) -> bool {
        match &self.who {
            Who::Block(block) => block.contains(address) && self.port_matches(pod),
            _ => false,
        }
    }

    fn port_matches(&self, pod: Option<&Subject<'_>>) -> bool {
        match (&self.port, pod) {
            (None, _) => true,
            (Some(port), Some(pod)) => pod.ports.contains(port),
            (Some(_), None) => false,
        }
    }
}

fn canonical(selector: &Selector) -> Selector {
    let sorted = |values: &[Arc<str>]| {
        let mut values = values.to_vec();
        values.sort();
        values.dedup();
        values
    };
    let one = |requirement: &Requirement| match requirement {
        Requirement::In(key, values) => Requirement::In(Arc::clone(key), sorted(values)),
        Requirement::NotIn(key, values) => Requirement::NotIn(Arc::clone(key), sorted(values)),
        other => other.clone(),
    };
    let mut requirements: Vec<_> = selector.requirements.iter().map(one).collect();
    requirements.sort();
    requirements.dedup();
    Selector { requirements }
}

/// Without exceptions that lie outside of the block or inside of each other, which change nothing.
fn canonical_block(block: &IpBlock) -> IpBlock {
    let cidr = block.cidr;
    let inside = |one: &IpNetwork| {
        if one.prefix() <= cidr.prefix() {
            one.contains(cidr.network()).then_some(cidr)
        } else {
            cidr.contains(one.network()).then_some(*one)
        }
    };
    let mut except: Vec<_> = block.except.iter().filter_map(inside).collect();
    except.sort_by_key(|one| (one.prefix(), one.network()));
    except.dedup();
    let mut kept: Vec<IpNetwork> = Vec::with_capacity(except.len());
    for one in except {
        if !kept.iter().any(|wide| wide.contains(one.network())) {
            kept.push(one);
        }
    }
    IpBlock { cidr, except: kept }
}
