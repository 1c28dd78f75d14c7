//! A flow of a random cluster: its packets, its way through the node, and what the oracle says of it.

use std::net::IpAddr;

use fairlead_netpol_model::oracle::{self, Direction, Side, Traffic, Verdict, end};
use fairlead_netpol_model::testing::World;

use crate::node::{End, Way};
use crate::packet::Packet;

/// What NAT does on the node, between the two hooks that a packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Translated {
    /// Where the sender sends to: a Service.
    pub(crate) service: Option<(IpAddr, u16)>,
    /// Whom the receiver sees: the node, and one of its ports.
    pub(crate) masquerade: Option<(IpAddr, u16)>,
}

/// A flow.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// Its first packet, with the true source and destination.
    pub(crate) packet: Packet,
    pub(crate) way: Way,
    pub(crate) traffic: Traffic,
    pub(crate) translated: Option<Translated>,
    /// Its first datagram comes in two fragments.
    pub(crate) fragmented: bool,
}

impl Flow {
    /// Whether packets tell which flow they belong to.
    pub(crate) fn has_ports(&self) -> bool {
        self.packet.payload.ports().is_some()
    }

    /// A packet of the opener as it is sent, and as it arrives.
    pub(crate) fn forth(&self, packet: Packet) -> (Packet, Packet) {
        let (mut sent, mut arrives) = (packet, packet);
        if let Some(translated) = self.translated {
            if let Some((address, port)) = translated.service {
                sent.destination = address;
                sent.payload = sent.payload.with_destination_port(port);
            }
            if let Some((address, port)) = translated.masquerade {
                arrives.source = address;
                arrives.payload = arrives.payload.with_source_port(port);
            }
        }
        (sent, arrives)
    }

    /// The same of an answer to it.
    pub(crate) fn back(&self, packet: Packet) -> (Packet, Packet) {
        let (sent, arrives) = self.forth(packet);
        (arrives.answer(), sent.answer())
    }

    /// What the oracle is asked in `world`, where other pods may have these addresses. `None` where an end of the
    /// flow is not where it was.
    fn asked(&self, world: &World) -> Option<oracle::Packet> {
        let asked = oracle::Packet {
            from: side(world, self.way.from, self.packet.source),
            to: side(world, self.way.to, self.packet.destination),
            traffic: self.traffic,
        };
        let ends = world.ends(&asked);
        let same = (ends.from, ends.to) == (self.way.from.index(), self.way.to.index());
        same.then_some(asked)
    }

    /// What the oracle says at the ends that are on this node.
    pub(crate) fn verdict(&self, world: &World) -> Option<Verdict> {
        let asked = self.asked(world)?;
        Some(Self::judge(world, self.way, &asked))
    }

    /// The same of a packet of its own that looks like its answer.
    pub(crate) fn verdict_of_answer(&self, world: &World) -> Option<Verdict> {
        let asked = self.asked(world)?;
        let port = self.packet.payload.ports().map_or(0, |(from, _)| from);
        let answer = oracle::Packet {
            from: asked.to,
            to: asked.from,
            traffic: match self.traffic {
                Traffic::Port(protocol, _) => Traffic::Port(protocol, port),
                other @ Traffic::Other(_) => other,
            },
        };
        Some(Self::judge(world, self.way.back(), &answer))
    }

    fn judge(world: &World, way: Way, packet: &oracle::Packet) -> Verdict {
        let judged = |at: End, direction| match at {
            End::Pod { .. } => end(&world.cluster, packet, direction),
            End::Node | End::Beyond => oracle::End::NotJudged,
        };
        Verdict {
            egress: judged(way.from, Direction::Egress),
            ingress: judged(way.to, Direction::Ingress),
        }
    }

    /// Whether this node lets it through.
    pub(crate) fn allowed(&self, world: &World) -> Option<bool> {
        self.verdict(world).map(Verdict::allowed)
    }
}

fn side(world: &World, end: End, address: IpAddr) -> Side {
    if end == End::Node {
        return Side::Node(address);
    }
    let mut pods = world.cluster.pods.iter();
    match pods.find(|pod| pod.is_peer() && pod.addresses.contains(&address)) {
        Some(pod) => Side::Pod(pod.name.clone(), address),
        None => Side::Address(address),
    }
}

/// Whether no policy looks at either end.
pub(crate) fn is_unasked(verdict: Verdict) -> bool {
    let unasked = |end| matches!(end, oracle::End::NotJudged | oracle::End::NotIsolated);
    unasked(verdict.egress) && unasked(verdict.ingress)
}
