//! One random cluster after the other: packets through the programs, and the oracle's word on each.

use std::collections::BTreeSet;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use fairlead_netpol_datapath::Datapath;
use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::tables::{Tables, Update};
use fairlead_netpol_model::testing::World;
use fastrand::Rng;

use crate::flow::Flow;
use crate::mistake::Wrong;
use crate::node::Programs;

/// Events before the first packet of a cluster, and after.
const EVENTS: (usize, usize) = (30, 12);
/// First packets between two events, and between two writes of one.
const PACKETS: (usize, usize) = (14, 2);
/// Flows of a cluster that are kept and looked at again.
const KEPT: usize = 12;

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) clusters: u32,
    pub(crate) packets: u64,
    pub(crate) allowed: u64,
    /// Packets between two writes of one event.
    pub(crate) between: u64,
    /// Packets of flows that began before an event.
    pub(crate) later: u64,
}

/// A node that is tested.
pub(crate) struct Fuzz {
    pub(crate) programs: Programs,
    pub(crate) datapath: Datapath,
    pub(crate) random: Rng,
    pub(crate) counts: Counts,
    /// Whether packets are sent between two writes of one event.
    pub(crate) one_by_one: bool,
    /// The compiler's mistake, when it is to make one.
    pub(crate) wrong: Option<Wrong>,
    flows: Vec<Flow>,
    /// Pairs that have sent packets without ports: an answer cannot be told from a question.
    pub(crate) portless: BTreeSet<(IpAddr, IpAddr)>,
    /// The last port that was used up.
    pub(crate) fresh: u16,
}

impl Fuzz {
    pub(crate) fn new(programs: Programs, datapath: Datapath, seed: u64) -> Self {
        Self {
            programs,
            datapath,
            random: Rng::with_seed(seed),
            counts: Counts::default(),
            one_by_one: true,
            wrong: None,
            flows: Vec::new(),
            portless: BTreeSet::new(),
            fresh: 0,
        }
    }

    /// Looks at one cluster from its beginning.
    pub(crate) fn cluster(&mut self) -> Result<()> {
        self.counts.clusters += 1;
        self.flows.clear();
        self.portless.clear();
        self.fresh = 20_000;
        self.programs.forget_flows()?;
        self.datapath.resync(&Tables::default())?;
        let mut compiler = Compiler::new();
        let (mut world, events) = World::after(EVENTS.0, &mut self.random);
        for event in &events {
            event.tell(&mut compiler);
        }
        if self.wrong.is_none() && self.random.bool() {
            let _ = compiler.take_update();
            self.datapath.resync(&compiler.tables())?;
        }
        while !compiler.is_settled() {
            let update = compiler.take_update();
            self.write(&update)?;
        }
        self.first_packets(&world, PACKETS.0)?;
        for _ in 0..EVENTS.1 {
            let before = world.clone();
            let event = world.event(&mut self.random);
            event.tell(&mut compiler);
            while !compiler.is_settled() {
                let update = compiler.take_update();
                if self.one_by_one {
                    self.write_one_by_one(&update, &before, &world)
                        .with_context(|| format!("{event:#?}"))?;
                } else {
                    self.write(&update)?;
                }
            }
            self.forget_changed(&world);
            self.first_packets(&world, PACKETS.0)
                .with_context(|| format!("after {event:#?}"))?;
        }
        Ok(())
    }

    fn write(&mut self, update: &Update) -> Result<()> {
        let update = match &mut self.wrong {
            Some(wrong) => &wrong.update(update),
            None => update,
        };
        self.datapath.apply(update)?;
        Ok(())
    }

    /// Between any two writes packets pass only where the cluster before or the one after allows them, and wherever
    /// both do.
    fn write_one_by_one(&mut self, update: &Update, before: &World, after: &World) -> Result<()> {
        let update = match &mut self.wrong {
            Some(wrong) => wrong.update(update),
            None => update.clone(),
        };
        if std::env::var("NOBETWEEN").is_ok() {
            self.datapath.apply(&update)?;
            return Ok(());
        }
        for write in update.writes {
            let one = Update {
                writes: vec![write],
            };
            self.datapath.apply(&one)?;
            let between = || format!("after the write {:?}", one.writes);
            for _ in 0..PACKETS.1 {
                self.packet_between(before, after).with_context(between)?;
            }
            self.flows_between(before, after).with_context(between)?;
        }
        Ok(())
    }

    fn packet_between(&mut self, before: &World, after: &World) -> Result<()> {
        let world = if self.random.bool() { before } else { after };
        let packet = world.packet(&mut self.random);
        let Some(flow) = self.flow_of(world, &packet) else {
            return Ok(());
        };
        let Some((old, new)) = flow.allowed(before).zip(flow.allowed(after)) else {
            return Ok(());
        };
        let passed = self.open(&flow)?;
        self.counts.between += 1;
        ensure!(
            passed == old || passed == new,
            "passed: {passed}, allowed before: {old}, after: {new}: {flow:#?}"
        );
        Ok(())
    }

    fn flows_between(&mut self, before: &World, after: &World) -> Result<()> {
        for flow in self.flows.clone() {
            let Some((old, new)) = flow.allowed(before).zip(flow.allowed(after)) else {
                continue;
            };
            let passed = self.send(&flow, flow.packet.further())?;
            self.counts.later += 1;
            ensure!(
                passed == old || passed == new,
                "of a known flow, passed: {passed}, allowed before: {old}, after: {new}: {flow:#?}"
            );
            if old && new {
                ensure!(
                    self.answer(&flow)?,
                    "an answer of a flow is lost: {flow:#?}"
                );
                self.counts.later += 1;
            }
        }
        Ok(())
    }

    /// Flows whose pods are gone, or elsewhere, are not looked at any more.
    fn forget_changed(&mut self, world: &World) {
        self.flows.retain(|flow| flow.allowed(world).is_some());
    }

    fn first_packets(&mut self, world: &World, count: usize) -> Result<()> {
        for flow in self.flows.clone() {
            self.known(world, &flow)?;
        }
        for _ in 0..count {
            let packet = world.packet(&mut self.random);
            if let Some(flow) = self.flow_of(world, &packet) {
                self.first(world, flow)?;
            }
        }
        Ok(())
    }

    /// A flow of before, now that all is written.
    fn known(&mut self, world: &World, flow: &Flow) -> Result<()> {
        let allowed = flow.allowed(world).context("a flow without ends")?;
        let passed = self.send(flow, flow.packet.further())?;
        self.counts.later += 1;
        ensure!(
            passed == allowed,
            "of a known flow, passed: {passed}, allowed: {allowed}: {flow:#?}"
        );
        if allowed {
            ensure!(self.answer(flow)?, "an answer of a flow is lost: {flow:#?}");
            self.counts.later += 1;
        }
        Ok(())
    }

    /// The first packet of a flow, and what follows it.
    fn first(&mut self, world: &World, flow: Flow) -> Result<()> {
        let verdict = flow.verdict(world).context("a flow without ends")?;
        let allowed = verdict.allowed();
        if flow.translated.is_none() && self.random.u8(..8) == 0 {
            self.unknown_fragment(&flow, verdict)?;
        }
        if flow.translated.is_none() && self.random.u8(..8) == 0 {
            self.unknown_error(&flow, verdict)?;
        }
        let passed = self.open(&flow)?;
        self.counts.allowed += u64::from(allowed);
        ensure!(
            passed == allowed,
            "passed: {passed}, the oracle says {verdict:?}: {flow:#?}"
        );
        if !flow.has_ports() {
            return Ok(());
        }
        if !allowed {
            return self.answer_unasked(world, &flow, verdict);
        }
        if self.random.u8(..4) == 0 && flow.translated.is_none() {
            self.error_about(&flow)?;
        }
        ensure!(self.answer(&flow)?, "the answer is lost: {flow:#?}");
        let further = self.send(&flow, flow.packet.further())?;
        ensure!(further, "the second packet is lost: {flow:#?}");
        self.keep(flow);
        Ok(())
    }

    fn keep(&mut self, flow: Flow) {
        if self.flows.len() == KEPT {
            let at = self.random.usize(..KEPT);
            self.flows.swap_remove(at);
        }
        self.flows.push(flow);
    }
}
