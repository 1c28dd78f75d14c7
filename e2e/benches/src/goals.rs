//! The goals, each against what this run measured.

use std::fmt::Write as _;
use std::time::Duration;

use crate::call::Verb;
use crate::report::{Report, us};
use crate::sample::Sample;
use crate::subject::{Kind, Network};

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
    let pair = measured(
        report,
        Network::Plain,
        (Kind::Direct, 900),
        (Kind::Direct, 0),
    );
    if let Some((full, empty)) = pair {
        let ratio = full.p50().as_secs_f64() / empty.p50().as_secs_f64();
        let (name, limit) = ("`direct`: ADD p50 beside 900 pods", "1.3 of the empty node");
        line(
            &mut text,
            name,
            limit,
            &format!("{ratio:.2}"),
            ratio <= FLAT,
        );
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
    text
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
