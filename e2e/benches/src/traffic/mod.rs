//! Packets from a pod on one node to a pod on another: plain routing, flannel's tunnel, ours.

mod flannel;
mod generate;
mod ours;
mod way;

use std::time::Duration;

use anyhow::Result;

use crate::report::Report;
use crate::subject::Programs;
use way::Way;

/// How pods on different nodes are connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Routes to the other node's range, no tunnel.
    Routed,
    /// flannel's device, forwarding entry, neighbour and route, and nothing else.
    FlannelDevice,
    /// The same with the masquerade and forward rules that flannel installs beside them.
    Flannel,
    /// The same with checksum offload switched off, the usual advice against broken checksums.
    FlannelNoOffload,
    /// Our device, entries and routes without any rules.
    OursDevice,
    /// What our agent and plugin make, with all their rules.
    Ours,
    /// The same with the option that switches checksum offload off.
    OursNoOffload,
}

/// In the order of the table.
const ALL: [Kind; 7] = [
    Kind::Routed,
    Kind::FlannelDevice,
    Kind::OursDevice,
    Kind::Flannel,
    Kind::Ours,
    Kind::FlannelNoOffload,
    Kind::OursNoOffload,
];

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Routed => "plain routing",
            Self::FlannelDevice => "flannel's device, no rules",
            Self::OursDevice => "our device, no rules",
            Self::Flannel => "flannel with its rules",
            Self::Ours => "ours with all rules",
            Self::FlannelNoOffload => "flannel with its rules, checksum offload off",
            Self::OursNoOffload => "ours with all rules, checksum offload off",
        }
    }
}

/// What was measured of one way.
#[derive(Debug, Clone)]
pub(crate) struct TrafficRow {
    pub(crate) kind: Kind,
    pub(crate) streams: Vec<Stream>,
    pub(crate) trips: Vec<Duration>,
}

/// One TCP stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    /// Bytes that arrived.
    pub(crate) bytes: u64,
    /// How long it ran.
    pub(crate) wall: Duration,
    /// Processor time of sender, receiver and the kernel's threads for packets.
    pub(crate) cpu: Duration,
}

impl TrafficRow {
    /// Gigabits in a second, the median of all streams.
    pub(crate) fn rate(&self) -> f64 {
        median(
            self.streams
                .iter()
                .map(|s| gigabits(s) / s.wall.as_secs_f64()),
        )
    }

    /// Gigabits in a second of processor time, the median of all streams.
    pub(crate) fn per_cpu(&self) -> f64 {
        median(
            self.streams
                .iter()
                .map(|s| gigabits(s) / s.cpu.as_secs_f64()),
        )
    }

    /// The median round trip.
    pub(crate) fn trip(&self) -> Duration {
        let mut trips = self.trips.clone();
        trips.sort_unstable();
        trips.get(trips.len() / 2).copied().unwrap_or_default()
    }

    /// The shortest round trip.
    pub(crate) fn shortest(&self) -> Duration {
        self.trips.iter().min().copied().unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a measured amount")]
fn gigabits(stream: &Stream) -> f64 {
    stream.bytes as f64 * 8e-9
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long a stream runs in each round, and how many round trips follow: short, and often, so that what else
/// the machine does hits all ways alike.
const TIME: Duration = Duration::from_millis(200);
const TRIPS: u32 = 1_000;

/// Rounds.
const LONG: usize = 60;
const QUICK: usize = 20;

/// Measures all ways in turns.
pub(crate) fn measure(programs: &Programs, quick: bool, report: &mut Report) -> Result<()> {
    report.progress("pod to pod: nodes, tunnels, agents");
    let ways = ALL
        .iter()
        .map(|kind| Way::new(*kind, programs))
        .collect::<Result<Vec<_>>>()?;
    let mut rows: Vec<TrafficRow> = ALL
        .iter()
        .map(|kind| TrafficRow {
            kind: *kind,
            streams: Vec::new(),
            trips: Vec::new(),
        })
        .collect();
    let rounds = if quick { QUICK } else { LONG };
    for round in 0..rounds {
        if round % 10 == 0 {
            report.progress(&format!("pod to pod: {round} of {rounds} rounds"));
        }
        // Each way is first, and after each other one, as often as any.
        for place in 0..ways.len() {
            let at = (place + round) % ways.len();
            let (way, row) = (&ways[at], &mut rows[at]);
            row.streams.push(generate::stream(way, TIME)?);
            row.trips.extend(generate::round_trips(way, TRIPS)?);
        }
    }
    report.traffic(rows);
    Ok(())
}
