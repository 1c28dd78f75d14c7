//! What is done with one flow: how it is made, and its packets in their order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, ensure};
use fairlead_netpol_model::cluster::Protocol;
use fairlead_netpol_model::oracle::{self, Side, Traffic, Verdict};
use fairlead_netpol_model::tables::Link;
use fairlead_netpol_model::testing::World;

use crate::flow::{Flow, Translated, is_unasked};
use crate::fuzz::Fuzz;
use crate::node::{End, LAST_POD, Way};
use crate::packet::{ACK, Packet, Part, Payload, SYN};

impl Fuzz {
    /// A flow that begins with a random packet; `None` where this node has no part in it, or could not tell its
    /// packets from those of another.
    pub(crate) fn flow_of(&mut self, world: &World, packet: &oracle::Packet) -> Option<Flow> {
        let ends = world.ends(packet);
        let end = |index: Option<u32>, side: &Side| match index {
            Some(index) => End::Pod {
                index,
                bridged: matches!(world.attached[&index].2.link, Link::Bridged { .. }),
            },
            None if matches!(side, Side::Node(_)) => End::Node,
            None => End::Beyond,
        };
        let way = Way {
            from: end(ends.from, &packet.from),
            to: end(ends.to, &packet.to),
        };
        if ends.from.is_none() && ends.to.is_none() {
            return None;
        }
        assert!(ends.from.max(ends.to) <= Some(LAST_POD), "more devices");
        let v6 = ends.source.is_ipv6();
        let (payload, traffic) = self.payload(packet.traffic, v6);
        let pair = (
            ends.source.min(ends.destination),
            ends.source.max(ends.destination),
        );
        if payload.ports().is_none() && !self.portless.insert(pair) {
            return None;
        }
        let mut sent = Packet::whole(ends.source, ends.destination, payload);
        sent.extended = v6 && self.one_in(6);
        let fragmented = self.one_in(10);
        let translated = (!fragmented)
            .then(|| self.translate(way, payload, v6))
            .flatten();
        Some(Flow {
            packet: sent,
            way,
            traffic,
            translated,
            fragmented,
        })
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    /// A port, or an identifier, that no flow of this cluster has had.
    fn fresh(&mut self) -> u16 {
        self.fresh += 1;
        self.fresh
    }

    fn payload(&mut self, traffic: Traffic, v6: bool) -> (Payload, Traffic) {
        let id = self.fresh();
        let payload = match traffic {
            // Segments in the middle of a connection that nobody knows are judged as well.
            Traffic::Port(Protocol::Tcp, port) if self.one_in(6) => Payload::Tcp(id, port, ACK),
            Traffic::Port(Protocol::Tcp, port) => Payload::Tcp(id, port, SYN),
            Traffic::Port(Protocol::Udp, port) => Payload::Udp(id, port),
            Traffic::Port(Protocol::Sctp, port) => Payload::Sctp(id, port),
            Traffic::Other(1 | 58) => Payload::Echo { id, request: true },
            Traffic::Other(protocol) => Payload::Other(protocol),
        };
        let traffic = match traffic {
            Traffic::Other(_) => Traffic::Other(payload.protocol(v6)),
            port @ Traffic::Port(..) => port,
        };
        (payload, traffic)
    }

    /// Sometimes a pod calls a Service, and sometimes the receiver sees the node instead of it.
    fn translate(&mut self, way: Way, payload: Payload, v6: bool) -> Option<Translated> {
        let from_pod = matches!(way.from, End::Pod { .. });
        let ports = matches!(
            payload,
            Payload::Tcp(..) | Payload::Udp(..) | Payload::Sctp(..)
        );
        if !from_pod || !ports || !self.one_in(5) {
            return None;
        }
        let (service, node): (IpAddr, IpAddr) = if v6 {
            let address = |last| Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, 0, last);
            (address(1).into(), address(2).into())
        } else {
            (
                Ipv4Addr::new(10, 96, 0, 1).into(),
                Ipv4Addr::new(172, 16, 0, 1).into(),
            )
        };
        let port = self.fresh();
        // Nobody hides one pod from another but behind a Service.
        let (called, hidden) = match way.to {
            End::Beyond => *self
                .random
                .choice(&[(true, false), (false, true), (true, true)])?,
            End::Pod { .. } | End::Node => (true, self.random.bool()),
        };
        Some(Translated {
            service: called.then_some((service, 7)),
            masquerade: hidden.then_some((node, port)),
        })
    }

    /// Sends the first packet of a flow, in fragments where it has to be.
    pub(crate) fn open(&mut self, flow: &Flow) -> Result<bool> {
        if !flow.fragmented {
            return self.send(flow, flow.packet);
        }
        let id = self.fresh();
        let part = |part| Packet {
            part,
            ..flow.packet
        };
        let first = self.send(flow, part(Part::First(id)))?;
        let later = self.send(flow, part(Part::Later(id)))?;
        ensure!(
            first == later,
            "first fragment {first}, later one {later}: {flow:#?}"
        );
        Ok(first)
    }

    /// A packet of the opener.
    pub(crate) fn send(&mut self, flow: &Flow, packet: Packet) -> Result<bool> {
        let (sent, arrives) = flow.forth(packet);
        self.counts.packets += 1;
        self.programs.pass(flow.way, sent, arrives)
    }

    /// A packet against it.
    pub(crate) fn answer(&mut self, flow: &Flow) -> Result<bool> {
        let (sent, arrives) = flow.back(flow.packet);
        self.counts.packets += 1;
        self.programs.pass(flow.way.back(), sent, arrives)
    }

    /// What looks like an answer, where there was nothing to answer. If it was the receiver that refused, the sender
    /// has asked: its own programs let an answer in, when the other end may send it.
    pub(crate) fn answer_unasked(
        &mut self,
        world: &World,
        flow: &Flow,
        verdict: Verdict,
    ) -> Result<()> {
        if flow.translated.is_some() || flow.fragmented {
            return Ok(());
        }
        let answer = flow
            .verdict_of_answer(world)
            .context("a flow without ends")?;
        // By the short way both ends have it, or none.
        let expected = if verdict.egress == oracle::End::Denied || self.programs.refused_at_once {
            answer.allowed()
        } else {
            answer.egress != oracle::End::Denied
        };
        let passed = self.answer(flow)?;
        ensure!(
            passed == expected,
            "answer to a packet that was refused passed: {passed}, the oracle says {answer:?}: {flow:#?}"
        );
        Ok(())
    }

    /// A later fragment whose first nobody has seen tells no port.
    pub(crate) fn unknown_fragment(&mut self, flow: &Flow, verdict: Verdict) -> Result<()> {
        let lost = Packet {
            part: Part::Later(self.fresh()),
            ..flow.packet
        };
        let passed = self.send(flow, lost)?;
        ensure!(
            passed == is_unasked(verdict),
            "a fragment without its first passed: {passed}, the oracle says {verdict:?}: {flow:#?}"
        );
        Ok(())
    }

    /// An ICMP error about a flow that nobody knows.
    pub(crate) fn unknown_error(&mut self, flow: &Flow, verdict: Verdict) -> Result<()> {
        let about = Packet::whole(
            flow.packet.destination,
            flow.packet.source,
            Payload::Udp(self.fresh(), 53),
        );
        self.counts.packets += 1;
        let passed = self
            .programs
            .pass_error(flow.way, flow.packet.source, about)?;
        ensure!(
            passed == is_unasked(verdict),
            "an error about nothing passed: {passed}, the oracle says {verdict:?}: {flow:#?}"
        );
        Ok(())
    }

    /// An ICMP error about the flow's first packet, from its receiver.
    pub(crate) fn error_about(&mut self, flow: &Flow) -> Result<()> {
        let (about, reporter) = (flow.packet, flow.packet.destination);
        self.counts.packets += 1;
        let passed = self.programs.pass_error(flow.way.back(), reporter, about)?;
        ensure!(passed, "an error about a flow is lost: {flow:#?}");
        Ok(())
    }
}
