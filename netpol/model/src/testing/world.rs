//! A random cluster as one of its nodes sees it, and what happens in it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use fastrand::Rng;

use super::maps::Ends;
use super::random::{
    labels, named_ports, namespace, outside, packet_traffic, pod_address, policy, seldom,
};
use crate::Compiler;
use crate::cluster::{Cluster, Name, Namespace, Pod, Policy, Sources, Uid};
use crate::oracle::{Direction, End, Packet, Side, end};
use crate::tables::{Attachment, IfIndex, Link};

/// Something that the compiler is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A pod is there, or is another now.
    SetPod(Arc<Pod>),
    /// A pod of this name and UID is gone.
    RemovePod(Name, Uid),
    /// A namespace is there, or has other labels.
    SetNamespace(Namespace),
    /// A namespace is gone.
    RemoveNamespace(Arc<str>),
    /// A policy is there, or is another now.
    SetPolicy(Arc<Policy>),
    /// A policy is gone.
    RemovePolicy(Name),
    /// A pod of this name and UID is attached to this node.
    Attach(IfIndex, Name, Uid, Attachment),
    /// What was attached there is gone.
    Detach(IfIndex),
}

impl Event {
    /// Tells `compiler`.
    pub fn tell(&self, compiler: &mut Compiler) {
        match self.clone() {
            Self::SetPod(pod) => compiler.set_pod(Arc::unwrap_or_clone(pod)),
            Self::RemovePod(name, uid) => compiler.remove_pod(&name, uid),
            Self::SetNamespace(namespace) => compiler.set_namespace(namespace),
            Self::RemoveNamespace(name) => compiler.remove_namespace(&name),
            Self::SetPolicy(policy) => compiler.set_policy(Arc::unwrap_or_clone(policy)),
            Self::RemovePolicy(name) => compiler.remove_policy(&name),
            Self::Attach(index, name, uid, attachment) => {
                compiler.attach(index, name, uid, attachment);
            }
            Self::Detach(index) => compiler.detach(index),
        }
    }
}

/// A cluster that changes by random events, and its node `here`. No two live pods have one address. A pod is known
/// before it is attached and detached before it is removed.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// What has been told of the cluster.
    pub cluster: Cluster,
    /// What is attached to the node `here`: pod, UID, how.
    pub attached: BTreeMap<IfIndex, (Name, Uid, Attachment)>,
    /// How many pods and interfaces there have been.
    made: u32,
}

/// The name of the node that is looked at.
const HERE: &str = "here";

impl World {
    /// A world after so many events.
    pub fn after(events: usize, random: &mut Rng) -> (Self, Vec<Event>) {
        let mut world = Self::default();
        let events = (0..events).map(|_| world.event(random)).collect();
        (world, events)
    }

    /// Something happens.
    pub fn event(&mut self, random: &mut Rng) -> Event {
        let event = self.choose(random);
        self.happens(&event);
        event
    }

    /// Events that make this world of an empty one.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let cluster = &self.cluster;
        let mut events = Vec::new();
        events.extend(
            cluster
                .namespaces
                .values()
                .cloned()
                .map(Event::SetNamespace),
        );
        events.extend(cluster.policies.values().cloned().map(Event::SetPolicy));
        events.extend(cluster.pods.iter().cloned().map(Event::SetPod));
        let attached = self.attached.iter().map(|(index, (pod, uid, attachment))| {
            Event::Attach(*index, pod.clone(), uid.clone(), attachment.clone())
        });
        events.extend(attached);
        events
    }

    /// Makes an event true.
    pub fn happens(&mut self, event: &Event) {
        let cluster = &mut self.cluster;
        match event.clone() {
            Event::SetPod(pod) => drop(cluster.pods.insert(pod)),
            Event::RemovePod(name, _) => drop(cluster.pods.remove(&name)),
            Event::SetNamespace(namespace) => {
                let name = Arc::clone(&namespace.name);
                cluster.namespaces.insert(name, namespace);
            }
            Event::RemoveNamespace(name) => drop(cluster.namespaces.remove(&name)),
            Event::SetPolicy(policy) => {
                drop(cluster.policies.insert(policy.name.clone(), policy));
            }
            Event::RemovePolicy(name) => drop(cluster.policies.remove(&name)),
            Event::Attach(index, name, uid, attachment) => {
                self.attached.insert(index, (name, uid, attachment));
            }
            Event::Detach(index) => drop(self.attached.remove(&index)),
        }
    }

    fn choose(&mut self, random: &mut Rng) -> Event {
        if let Some(event) = self.attach_one(random) {
            return event;
        }
        match random.u8(..16) {
            0 => Event::SetNamespace(Namespace {
                name: namespace(random),
                labels: labels(random),
            }),
            1 if seldom(random, 4) => Event::RemoveNamespace(namespace(random)),
            1..=4 => {
                let name = name(random, "policy", 4);
                Event::SetPolicy(Arc::new(policy(random, name)))
            }
            5 | 6 => Event::RemovePolicy(name(random, "policy", 4)),
            7 => self.remove(random),
            8..=10 => self.change(random),
            _ => Event::SetPod(Arc::new(self.new_pod(random))),
        }
    }

    /// A pod of this node that is not attached, most of the time before anything else happens.
    fn attach_one(&mut self, random: &mut Rng) -> Option<Event> {
        let waits = |pod: &&Arc<Pod>| {
            let attached = self.attached.values().any(|(name, ..)| *name == pod.name);
            *pod.node == *HERE && pod.is_peer() && !attached
        };
        let pod = self.cluster.pods.iter().find(waits)?;
        if seldom(random, 4) {
            return None;
        }
        self.made += 1;
        let link = if random.bool() {
            Link::Routed {
                pod_mac: [2, 0, 0, 0, 0, 1],
                host_mac: [2, 0, 0, 0, 0, 2],
            }
        } else {
            let slot = u16::try_from(self.made & 0x1fff).unwrap_or(0);
            Link::Bridged { slot }
        };
        let addresses = pod.addresses.clone();
        let attachment = Attachment { addresses, link };
        let (name, uid) = (pod.name.clone(), pod.uid.clone());
        Some(Event::Attach(self.made, name, uid, attachment))
    }

    fn remove(&mut self, random: &mut Rng) -> Event {
        let pods: Vec<_> = self.cluster.pods.iter().collect();
        let Some(pod) = random.choice(pods) else {
            return Event::RemovePolicy(name(random, "policy", 4));
        };
        let attached = self.attached.iter().find(|(_, at)| at.0 == pod.name);
        match attached {
            Some((index, _)) => Event::Detach(*index),
            None => Event::RemovePod(pod.name.clone(), pod.uid.clone()),
        }
    }

    fn change(&mut self, random: &mut Rng) -> Event {
        let pods: Vec<_> = self.cluster.pods.iter().collect();
        let Some(pod) = random.choice(pods) else {
            return Event::RemovePolicy(name(random, "policy", 4));
        };
        let mut pod = Pod::clone(pod);
        match random.u8(..8) {
            0 => pod.named_ports = named_ports(random),
            1 => pod.finished = true,
            _ => pod.labels = labels(random),
        }
        Event::SetPod(Arc::new(pod))
    }

    fn new_pod(&mut self, random: &mut Rng) -> Pod {
        let name = name(random, "pod", 8);
        if let Some(pod) = self.cluster.pods.get(&name) {
            let mut pod = Pod::clone(pod);
            pod.labels = labels(random);
            return pod;
        }
        self.made += 1;
        let host_network = seldom(random, 12);
        let families = *random
            .choice(&[(true, false), (true, true), (false, true)])
            .unwrap_or(&(true, true));
        let mut addresses = Vec::new();
        for (v6, wanted) in [(false, families.0), (true, families.1)] {
            let free = (0..8)
                .map(|_| pod_address(random, v6))
                .find(|at| self.is_free(*at));
            addresses.extend(free.filter(|_| wanted));
        }
        if host_network {
            addresses = vec![outside(random, false), outside(random, true)];
        }
        Pod {
            name,
            uid: format!("uid-{}", self.made).into(),
            node: if random.bool() { HERE } else { "there" }.into(),
            labels: labels(random),
            addresses,
            host_network,
            finished: false,
            named_ports: named_ports(random),
            sources: Sources::Own,
        }
    }

    fn is_free(&self, address: IpAddr) -> bool {
        let has = |pod: &Arc<Pod>| pod.is_peer() && pod.addresses.contains(&address);
        let holds = |at: &(Name, Uid, Attachment)| at.2.addresses.contains(&address);
        !self.cluster.pods.iter().any(has) && !self.attached.values().any(holds)
    }

    /// A first packet of a flow that may happen: at least one end is a pod of this node, or will be.
    pub fn packet(&self, random: &mut Rng) -> Packet {
        let v6 = random.bool();
        let here = self.side(random, v6, true);
        let there = match random.u8(..8) {
            0 => Side::Node(outside(random, v6)),
            1 | 2 => Side::Address(outside(random, v6)),
            3 => Side::Address(self.nobody(random, v6)),
            _ => self.side(random, v6, false),
        };
        let (from, to) = if random.bool() {
            (here, there)
        } else {
            (there, here)
        };
        Packet {
            from,
            to,
            traffic: packet_traffic(random),
        }
    }

    fn side(&self, random: &mut Rng, v6: bool, here: bool) -> Side {
        let mut pods = Vec::new();
        for pod in self.cluster.pods.iter().filter(|pod| pod.is_peer()) {
            let attached = self.interface(&pod.name).is_some();
            let known = attached || (!here && *pod.node != *HERE);
            let of_family = pod
                .addresses
                .iter()
                .filter(|at| at.is_ipv6() == v6 && known);
            pods.extend(of_family.map(|at| (pod.name.clone(), *at)));
        }
        match random.choice(pods) {
            Some((name, address)) => Side::Pod(name, address),
            None => Side::Address(outside(random, v6)),
        }
    }

    /// An address of the pods' range that no pod has.
    fn nobody(&self, random: &mut Rng, v6: bool) -> IpAddr {
        let mut all = (0..8).map(|_| pod_address(random, v6));
        let free = all.find(|at| self.is_free(*at));
        free.unwrap_or_else(|| outside(random, v6))
    }

    /// The interface of a pod of this node. A finished pod sends and gets nothing.
    #[must_use]
    pub fn interface(&self, pod: &Name) -> Option<IfIndex> {
        self.cluster.pods.get(pod).filter(|pod| pod.is_peer())?;
        let at = self.attached.iter().find(|(_, at)| at.0 == *pod);
        at.map(|(index, _)| *index)
    }

    /// A packet of the same addresses, between those who have them now.
    #[must_use]
    pub fn of_today(&self, packet: &Packet) -> Packet {
        let side = |side: &Side| {
            let address = side.address();
            let has = |pod: &&Arc<Pod>| pod.is_peer() && pod.addresses.contains(&address);
            match (side, self.cluster.pods.iter().find(has)) {
                (Side::Node(_), _) => side.clone(),
                (_, Some(pod)) => Side::Pod(pod.name.clone(), address),
                (_, None) => Side::Address(address),
            }
        };
        Packet {
            from: side(&packet.from),
            to: side(&packet.to),
            traffic: packet.traffic,
        }
    }

    /// The packet as this node's programs see it.
    #[must_use]
    pub fn ends(&self, packet: &Packet) -> Ends {
        let interface = |side: &Side| match side {
            Side::Pod(name, _) => self.interface(name),
            Side::Node(_) | Side::Address(_) => None,
        };
        Ends {
            from: interface(&packet.from),
            source: packet.from.address(),
            to: interface(&packet.to),
            destination: packet.to.address(),
            from_node: matches!(packet.from, Side::Node(_)),
            traffic: packet.traffic,
        }
    }

    /// Whether this node lets the packet through, by the oracle: of pods elsewhere it judges nothing.
    #[must_use]
    pub fn allows(&self, packet: &Packet) -> bool {
        let ends = self.ends(packet);
        let denied = |at: Option<IfIndex>, direction| {
            at.is_some() && end(&self.cluster, packet, direction) == End::Denied
        };
        !denied(ends.from, Direction::Egress) && !denied(ends.to, Direction::Ingress)
    }
}

fn name(random: &mut Rng, kind: &str, of: u8) -> Name {
    Name {
        namespace: namespace(random),
        name: format!("{kind}-{}", random.u8(..of)).into(),
    }
}
