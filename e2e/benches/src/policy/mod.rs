//! What enforcement of `NetworkPolicy` costs: packets through rules, ours and others', and the agent's own work.

mod agent;
mod change;
mod filters;
mod goals;
mod ours;
mod trips;
mod way;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};

pub(crate) use agent::MemoryRow;
pub(crate) use change::ChangeRow;
pub(crate) use goals::Judged;
pub(crate) use trips::{Burst, Trip};

use crate::report::Report;
use crate::sample::Sample;
use crate::subject::Programs;
use way::Way;

/// The port that servers listen on and rules allow.
const PORT: u16 = 8080;

/// Where the Service is that leads to a server.
const SERVICE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10)), 80);

/// How client and server are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// One node, our routed pairs.
    Routed,
    /// One node, the reference's bridge.
    Bridge,
    /// The same with its packets shown to netfilter, as kube-proxy asks for.
    BridgeNetfilter,
    /// One node, our routed pairs, the server behind a Service.
    Service,
    /// A node each, our routed pairs.
    AcrossNodes,
}

/// Who enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// Nobody.
    Nobody,
    /// Nobody, but connections are tracked: one rule that accepts those that are established.
    Conntrack,
    /// Our programs without any policy.
    NoPolicy,
    /// Our programs.
    Ours,
    /// Our programs with the shortcut switched off.
    OursLong,
    /// A chain of `iptables-nft`.
    IptablesNft,
    /// A chain of `iptables-legacy`.
    IptablesLegacy,
    /// One set of nftables.
    NftSet,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) network: Network,
    pub(crate) by: By,
    /// Rules in front of the one that matches.
    pub(crate) rules: u32,
}

impl Subject {
    pub(crate) fn name(self) -> String {
        let network = match self.network {
            Network::Routed => "same node",
            Network::Bridge => "bridge",
            Network::BridgeNetfilter => "bridge, br_netfilter",
            Network::Service => "Service, same node",
            Network::AcrossNodes => "across nodes",
        };
        let by = match self.by {
            By::Nobody => "plain",
            By::Conntrack => "conntrack",
            By::NoPolicy => "ours, no policy",
            By::Ours => "ours",
            By::OursLong => "ours, shortcut off",
            By::IptablesNft => "iptables-nft",
            By::IptablesLegacy => "iptables-legacy",
            By::NftSet => "nft set",
        };
        format!("{network}: {by}")
    }
}

const fn subject(network: Network, by: By, rules: u32) -> Subject {
    Subject { network, by, rules }
}

/// In the order of the table.
const SUBJECTS: &[Subject] = &[
    subject(Network::Routed, By::Nobody, 0),
    subject(Network::Bridge, By::Nobody, 0),
    subject(Network::BridgeNetfilter, By::Conntrack, 0),
    subject(Network::Routed, By::Conntrack, 0),
    subject(Network::Routed, By::NoPolicy, 0),
    subject(Network::Routed, By::Ours, 10),
    subject(Network::Routed, By::Ours, 1_000),
    subject(Network::Routed, By::Ours, 10_000),
    subject(Network::Routed, By::Ours, 100_000),
    subject(Network::Routed, By::OursLong, 10_000),
    subject(Network::Routed, By::IptablesNft, 10),
    subject(Network::Routed, By::IptablesNft, 1_000),
    subject(Network::Routed, By::IptablesNft, 10_000),
    subject(Network::Routed, By::IptablesNft, 100_000),
    subject(Network::Routed, By::IptablesLegacy, 10),
    subject(Network::Routed, By::IptablesLegacy, 1_000),
    subject(Network::Routed, By::IptablesLegacy, 10_000),
    subject(Network::Routed, By::IptablesLegacy, 100_000),
    subject(Network::Routed, By::NftSet, 10),
    subject(Network::Routed, By::NftSet, 1_000),
    subject(Network::Routed, By::NftSet, 10_000),
    subject(Network::Routed, By::NftSet, 100_000),
    subject(Network::Service, By::NoPolicy, 0),
    subject(Network::Service, By::Ours, 10_000),
    subject(Network::AcrossNodes, By::Nobody, 0),
    subject(Network::AcrossNodes, By::Conntrack, 0),
    subject(Network::AcrossNodes, By::NoPolicy, 0),
    subject(Network::AcrossNodes, By::Ours, 10),
    subject(Network::AcrossNodes, By::Ours, 10_000),
    subject(Network::AcrossNodes, By::Ours, 100_000),
    subject(Network::AcrossNodes, By::IptablesNft, 10_000),
    subject(Network::AcrossNodes, By::IptablesLegacy, 10_000),
    subject(Network::AcrossNodes, By::NftSet, 10_000),
];

/// A subject with all its bursts.
#[derive(Debug, Clone)]
pub(crate) struct PolicyRow {
    pub(crate) subject: Subject,
    pub(crate) bursts: Vec<(Trip, Burst)>,
}

impl PolicyRow {
    /// The median over all bursts.
    pub(crate) fn p50(&self, trip: Trip) -> f64 {
        self.median(trip, |burst| burst.p50.as_secs_f64())
    }

    /// The median over all bursts.
    pub(crate) fn per_second(&self, trip: Trip) -> f64 {
        self.median(trip, |burst| burst.per_second)
    }

    fn median(&self, trip: Trip, of: impl Fn(&Burst) -> f64) -> f64 {
        let mine = self.bursts.iter().filter(|(kind, _)| *kind == trip);
        let mut values: Vec<f64> = mine.map(|(_, burst)| of(burst)).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// The goals, as far as they were measured.
pub(crate) fn goals(report: &Report) -> Vec<Judged> {
    let mut goals = goals::packets(&report.policy);
    goals.extend(goals::agent(&report.agent));
    goals
}

/// Measures all of it.
pub(crate) fn measure(programs: &Programs, quick: bool, report: &mut Report) -> Result<()> {
    packets(programs, quick, report)?;
    let changes = if quick { 400 } else { 4_000 };
    report.progress("labels that change beside 1,000 policies and 10,000 pods");
    let change = change::measure(1_000, 10_000, changes)?;
    let adds = adds(programs, quick, report)?;
    let mut memory = Vec::new();
    let sizes = [(1_000, 10_000), (1_000, 100_000)];
    for (policies, pods) in sizes.into_iter().take(if quick { 1 } else { 2 }) {
        report.progress(&format!("memory of an agent with {pods} pods"));
        memory.push(agent::memory(programs, policies, pods)?);
    }
    report.policy_agent(AgentRows {
        change: Some(change),
        adds: Some(adds),
        memory,
    });
    Ok(())
}

/// Measures what ADD pays.
pub(crate) fn measure_add(programs: &Programs, quick: bool, report: &mut Report) -> Result<()> {
    let adds = adds(programs, quick, report)?;
    report.policy_agent(AgentRows {
        adds: Some(adds),
        ..AgentRows::default()
    });
    Ok(())
}

fn adds(programs: &Programs, quick: bool, report: &Report) -> Result<[Sample; 2]> {
    report.progress("ADDs without and with policy");
    agent::adds(programs, if quick { 1 } else { 6 }, 64)
}

/// What was measured of the agent.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentRows {
    pub(crate) change: Option<ChangeRow>,
    /// ADDs without and with policy.
    pub(crate) adds: Option<[Sample; 2]>,
    pub(crate) memory: Vec<MemoryRow>,
}

/// All ways stand at once and take turns, in another order each time.
fn packets(programs: &Programs, quick: bool, report: &mut Report) -> Result<()> {
    let (rounds, time) = if quick {
        (3, Duration::from_millis(100))
    } else {
        (21, Duration::from_millis(200))
    };
    let most = if quick { 10_000 } else { u32::MAX };
    let mut ways = Vec::new();
    for subject in SUBJECTS.iter().filter(|subject| subject.rules <= most) {
        report.progress(&format!("{}, {} rules", subject.name(), subject.rules));
        let way = Way::new(*subject, programs)
            .with_context(|| format!("{}, {} rules", subject.name(), subject.rules))?;
        ways.push((
            PolicyRow {
                subject: *subject,
                bursts: Vec::new(),
            },
            way,
        ));
    }
    let mut random = fastrand::Rng::new();
    for round in 1..=rounds {
        report.progress(&format!("round {round} of {rounds} through all rules"));
        let mut order: Vec<_> = ways.iter_mut().collect();
        random.shuffle(&mut order);
        for (row, way) in order {
            for trip in Trip::BOTH {
                let burst =
                    trips::burst(&way.client.ns, way.to, trip, time).with_context(|| {
                        format!("{}, {} rules", row.subject.name(), row.subject.rules)
                    })?;
                row.bursts.push((trip, burst));
            }
        }
    }
    report.policy(ways.into_iter().map(|(row, _)| row).collect());
    Ok(())
}
