//! Who follows flows, and what each is told.

use std::sync::Arc;

use fairlead_cni_node::policy::{Answer, Flow, Flows, PodName};
use fairlead_netpol_datapath::{Event, Reason};
use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::cluster::Name;
use fairlead_netpol_model::oracle::Direction;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::answers::isolating;
use super::attachments::Attachments;
use super::events::Gate;

/// One who follows.
#[derive(Debug)]
struct Follower {
    wanted: Flows,
    to: Sender<Answer>,
    /// What it was too slow for, or nobody could be told.
    lost: u64,
}

/// All who follow.
#[derive(Debug, Default)]
pub(super) struct Followers {
    gate: Arc<Gate>,
    all: Vec<Follower>,
}

impl Followers {
    /// What the reader of events has to know.
    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }

    /// Another one.
    pub(super) fn add(&mut self, wanted: Flows, to: Sender<Answer>) {
        self.all.push(Follower {
            wanted,
            to,
            lost: 0,
        });
        self.gate.set_followers(self.all.len());
    }

    /// Tells of packets; `lost` could not be handed over before them.
    pub(super) fn tell(
        &mut self,
        packets: &[Event],
        lost: u64,
        compiler: &Compiler,
        attachments: &Attachments,
    ) {
        self.gate.arrived(packets.len());
        if self.all.is_empty() {
            return;
        }
        let now = Times::now();
        for follower in &mut self.all {
            follower.lost += lost;
        }
        for packet in packets {
            let flow = flow(packet, compiler, attachments, &now);
            for follower in &mut self.all {
                if wants(&follower.wanted, &flow) {
                    follower.send(Answer::Flow(Box::new(flow.clone())));
                }
            }
        }
        for follower in &mut self.all {
            follower.settle();
        }
        self.all.retain(|follower| !follower.to.is_closed());
        self.gate.set_followers(self.all.len());
    }
}

impl Follower {
    fn send(&mut self, answer: Answer) {
        self.settle();
        if let Err(TrySendError::Full(_)) = self.to.try_send(answer) {
            self.lost += 1;
        }
    }

    /// Says how many it was not told of, as soon as there is room for it.
    fn settle(&mut self) {
        if self.lost > 0 && self.to.try_send(Answer::Lost(self.lost)).is_ok() {
            self.lost = 0;
        }
    }
}

fn wants(wanted: &Flows, flow: &Flow) -> bool {
    let of_pod = wanted.pod.as_ref().is_none_or(|pod| {
        [&flow.pod, &flow.source_pod, &flow.destination_pod]
            .into_iter()
            .flatten()
            .any(|one| one == pod)
    });
    of_pod && !(wanted.drops && flow.allowed)
}

/// A pod's name as messages have it.
pub(super) fn told(name: &Name) -> PodName {
    PodName {
        namespace: name.namespace.to_string(),
        name: name.name.to_string(),
    }
}

fn flow(packet: &Event, compiler: &Compiler, attachments: &Attachments, now: &Times) -> Flow {
    let judged = attachments
        .get(packet.endpoint)
        .map(super::attachments::Attached::pod);
    let owner = |address| compiler.owner(address).map(|pod| told(&pod.name));
    let direction = match packet.reason {
        Reason::Ingress => Some(Direction::Ingress),
        Reason::Egress => Some(Direction::Egress),
        _ => None,
    };
    let policies = judged.as_ref().zip(direction);
    let policies = policies.map(|(pod, direction)| isolating(compiler, pod, direction));
    Flow {
        time_ms: now.wall(packet.time),
        allowed: packet.reason == Reason::Allowed,
        reason: packet.reason.word().to_owned(),
        hook: packet.hook.word().to_owned(),
        pod: judged.as_ref().map(told),
        source: packet.source,
        source_port: packet.source_port,
        source_pod: owner(packet.source),
        destination: packet.destination,
        destination_port: packet.destination_port,
        destination_pod: owner(packet.destination),
        protocol: protocol(packet.protocol),
        policies: policies.unwrap_or_default(),
    }
}

fn protocol(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        other => other.to_string(),
    }
}

/// The programs' clock and the wall's, read together.
struct Times {
    monotonic: u64,
    wall: u64,
}

impl Times {
    fn now() -> Self {
        let read = |clock| {
            let time = clock_gettime(clock).map(std::time::Duration::from);
            time.map_or(0, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
        };
        Self {
            monotonic: read(ClockId::CLOCK_MONOTONIC),
            wall: read(ClockId::CLOCK_REALTIME),
        }
    }

    /// The wall's time in ms at `monotonic` ns.
    fn wall(&self, monotonic: u64) -> u64 {
        self.wall
            .saturating_sub(self.monotonic.saturating_sub(monotonic))
            / 1_000_000
    }
}
