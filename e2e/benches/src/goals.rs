//! The goals, each against what this run measured.

use std::fmt::Write as _;
use std::time::Duration;

use crate::call::Verb;
use crate::peers::Work;
use crate::policy;
use crate::report::{Report, ms, us};
use crate::sample::Sample;
use crate::storage;
use crate::subject::{Kind, Network};
use crate::traffic;

/// A ratio that must not be exceeded.
struct Goal {
    name: &'static str,
    network: Network,
    /// What is compared: wall time of the median, or processor time.
    of: fn(&Sample) -> Duration,
    limit: f64,
}

const GOALS: &[Goal] = &[
    Goal {
        name: "ADD p50, IPv4",
        network: Network::Plain,
        of: Sample::p50,
        limit: 1.0 / 5.0,
    },
    Goal {
        name: "ADD p50, dual stack",
        network: Network::DualStack,
        of: Sample::p50,
        limit: 1.0 / 12.0,
    },
    Goal {
        name: "ADD p50, IPv4 with ipMasq",
        network: Network::Masquerade,
        of: Sample::p50,
        limit: 1.0 / 10.0,
    },
    Goal {
        name: "CPU of an ADD, IPv4",
        network: Network::Plain,
        of: Sample::cpu_each,
        limit: 1.0 / 6.0,
    },
    Goal {
        name: "CPU of an ADD, dual stack",
        network: Network::DualStack,
        of: Sample::cpu_each,
        limit: 1.0 / 6.0,
    },
];

/// Most that 900 pods may cost the `direct` role.
const FLAT: f64 = 1.3;
/// Most processor time for 5,000 peers from nothing, and for finding nothing to do.
const COLD: Duration = Duration::from_millis(60);
const QUIET: Duration = Duration::from_millis(25);
/// Most resident memory of an agent with 5,000 nodes in KiB.
const RESIDENT: u64 = 40 * 1024;
/// Longest allocation beside 1,000 leases.
const ALLOCATION: Duration = Duration::from_micros(50);

/// A table of goals; those that this run did not measure are left out.
pub(crate) fn table(report: &Report) -> String {
    let mut text =
        "\n### Goals\n\n| goal | limit | measured | met |\n| --- | --- | --- | --- |\n".to_owned();
    for goal in GOALS {
        let pair = measured(
            report,
            goal.network,
            (Kind::Bridge, 0),
            (Kind::Reference, 0),
        );
        if let Some((ours, theirs)) = pair {
            let ratio = (goal.of)(ours).as_secs_f64() / (goal.of)(theirs).as_secs_f64();
            let limit = format!("1/{:.0} of the reference", 1.0 / goal.limit);
            let (name, met) = (format!("`bridge`: {}", goal.name), ratio <= goal.limit);
            line(
                &mut text,
                &name,
                &limit,
                &format!("1/{:.1}", 1.0 / ratio),
                met,
            );
        }
    }
    for network in [Network::Plain, Network::DualStack] {
        let pair = measured(report, network, (Kind::Direct, 900), (Kind::Direct, 0));
        if let Some((full, empty)) = pair {
            let ratio = full.p50().as_secs_f64() / empty.p50().as_secs_f64();
            let name = format!("`direct`: ADD p50 beside 900 pods, {}", network.name());
            let limit = format!("{FLAT} of the empty node");
            let met = ratio <= FLAT;
            line(&mut text, &name, &limit, &format!("{ratio:.2}"), met);
        }
    }
    if let Some(row) = report
        .ipam
        .iter()
        .find(|row| row.leases == 1000 && row.name.starts_with("our file"))
    {
        let p50 = row.allocate.p50();
        let name = "allocation beside 1,000 leases";
        line(
            &mut text,
            name,
            "50 µs",
            &format!("{} µs", us(p50)),
            p50 <= ALLOCATION,
        );
    }
    peers(report, &mut text);
    traffic(report, &mut text);
    let storage = report.storage.iter().flat_map(storage::goals);
    for (name, limit, measured, met) in policy::goals(report).into_iter().chain(storage) {
        line(&mut text, &name, &limit, &measured, met);
    }
    text
}

/// What leads to thousands of nodes.
fn peers(report: &Report, text: &mut String) {
    let of = |peers, work| {
        let mut rows = report.peers.iter();
        rows.find(|row| (row.peers, row.work) == (peers, work))
    };
    for (peers, limit) in [(1000, 3.0), (5000, 8.0)] {
        if let Some((ours, theirs)) = of(peers, Work::Cold).zip(of(peers, Work::Flannel)) {
            let ratio = theirs.cpu().as_secs_f64() / ours.cpu().as_secs_f64();
            let name = format!("CPU of programming {peers} peers from nothing");
            let limit_text = format!("1/{limit:.0} of flannel's shape");
            let measured = format!("1/{ratio:.1}");
            line(text, &name, &limit_text, &measured, ratio >= limit);
        }
    }
    if let Some(cold) = of(5000, Work::Cold) {
        let name = "CPU of programming 5000 peers from nothing";
        let measured = format!("{} ms", ms(cold.cpu()));
        line(text, name, "60 ms", &measured, cold.cpu() <= COLD);
    }
    if let Some(quiet) = of(5000, Work::Quiet) {
        let name = "CPU of a comparison without change, 5000 peers";
        let measured = format!("{} ms", ms(quiet.cpu()));
        line(text, name, "25 ms", &measured, quiet.cpu() <= QUIET);
        let (name, written) = ("entries written without change", quiet.written);
        line(text, name, "0", &written.to_string(), written == 0);
    }
    if let Some(moved) = of(5000, Work::Moved) {
        let name = "entries written for a peer's new address, 16 ranges";
        line(
            text,
            name,
            "1",
            &moved.written.to_string(),
            moved.written == 1,
        );
    }
    if let Some(memory) = report.memory {
        let name = format!("resident memory of an agent with {} nodes", memory.nodes);
        let measured = format!("{} MB", memory.resident.div_ceil(1024));
        line(text, &name, "40 MB", &measured, memory.resident <= RESIDENT);
    }
}

/// Packets from pod to pod.
fn traffic(report: &Report, text: &mut String) {
    for (what, ours, flannel) in [
        (
            "devices alone",
            traffic::Kind::OursDevice,
            traffic::Kind::FlannelDevice,
        ),
        (
            "with all rules",
            traffic::Kind::Ours,
            traffic::Kind::Flannel,
        ),
    ] {
        let of = |kind| report.traffic.iter().find(|row| row.kind == kind);
        let Some((ours, flannel)) = of(ours).zip(of(flannel)) else {
            continue;
        };
        let ratio = ours.per_cpu() / flannel.per_cpu();
        let (limit, measured) = ("1.0 of flannel's, or more", format!("{ratio:.2}"));
        let name = format!("pod to pod, {what}: TCP per CPU");
        line(text, &name, limit, &measured, ratio >= 1.0);
        let ratio = ours.trip().as_secs_f64() / flannel.trip().as_secs_f64();
        let (limit, measured) = ("1.0 of flannel's, or less", format!("{ratio:.2}"));
        let name = format!("pod to pod, {what}: UDP round trip");
        line(text, &name, limit, &measured, ratio <= 1.0);
    }
}

/// ADDs one at a time of two subjects that took turns.
fn measured(
    report: &Report,
    network: Network,
    one: (Kind, usize),
    other: (Kind, usize),
) -> Option<(&Sample, &Sample)> {
    let wanted = (network, 1, Verb::Add);
    let mut rows = report
        .rows
        .iter()
        .filter(|row| (row.network, row.at_once, row.verb) == wanted);
    rows.find_map(|row| row.of(one.0, one.1).zip(row.of(other.0, other.1)))
}

fn line(text: &mut String, name: &str, limit: &str, measured: &str, met: bool) {
    let met = if met { "yes" } else { "**no**" };
    let _ = writeln!(text, "| {name} | {limit} | {measured} | {met} |");
}
