//! The mode changes under running pods, from vxlan to direct and back, by `helm upgrade`.
//!
//! The tunnel is used for all peers, so that the way of a flow within one subnet changes each time.
//! Agents take the new mode node by node, so a flow loses packets while its two nodes differ.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::chart::Chart;
use crate::leases::LeaseFile;
use crate::plan::{Cluster, Member, Mode};
use crate::progress::Progress;
use crate::workload::{Pod, Workload};
use crate::{demo, this};

/// Packets a second of each flow.
const RATE: u32 = 20;
const LIMIT: Duration = Duration::from_mins(2);

pub(super) fn run(cluster: &Cluster, chart: &Chart, progress: &Progress) -> Result<()> {
    let with = |mode| {
        let mut chart = chart.clone();
        chart.mode = mode;
        chart.values.push("network.vxlan.tunnel=always".to_owned());
        chart
    };
    with(Mode::Vxlan).install(cluster, progress)?;
    let workload = Workload::start(cluster, progress)?;
    let (from, to) = pair_of_a_subnet(cluster, &workload)?;
    let mut table = String::new();
    for mode in [Mode::Direct, Mode::Vxlan] {
        let flows: Vec<Flow<'_>> = to
            .addresses
            .iter()
            .map(|address| Flow::start(&workload, from, address))
            .collect::<Result<_>>()?;
        with(mode).switch(cluster, progress)?;
        for flow in flows {
            let address = flow.to;
            let (sent, answered) = flow.end()?;
            let lost = sent.saturating_sub(answered);
            let seconds = f64::from(lost) / f64::from(RATE);
            let mode = mode.word();
            writeln!(
                table,
                "to {mode}: {lost} of {sent} packets to {address} lost, {seconds:.1} s of the flow"
            )?;
            ensure!(answered > 0, "no packet to {address} was answered");
        }
        workload.add_pods(progress)?;
    }
    demo::all_pairs_talk(&workload)?;
    demo::all_pairs_talk(&workload.added()?)?;
    workload.remove();
    progress.wait("pods of every mode deleted", LIMIT, || {
        Ok(nothing_left(cluster)?.then_some(()))
    })?;
    progress.say(table.trim_end());
    progress.say("pods made in either mode are gone without a trace");
    Ok(())
}

fn pair_of_a_subnet<'a>(
    cluster: &Cluster,
    workload: &'a Workload<'_>,
) -> Result<(&'a Pod, &'a Pod)> {
    let subnet = |pod: &Pod| match pod.node.parse() {
        Ok(Member::Node(index)) => Some(cluster.subnet(index)),
        _ => None,
    };
    let pairs = workload.pairs_across_nodes()?;
    let found = pairs
        .into_iter()
        .find(|(from, to)| subnet(from) == subnet(to));
    found.context("no two nodes share a subnet")
}

/// Whether no node has a lease or a host end of a pod.
fn nothing_left(cluster: &Cluster) -> Result<bool> {
    for file in LeaseFile::all(cluster)? {
        let mut links = this::inside(cluster, file.node().parse()?)?;
        let links = this::output(links.args(["ip", "-o", "link", "show", "type", "veth"]), "")?;
        let host_ends = links.lines().filter(|line| line.contains(": fl")).count();
        if host_ends > 0 || !file.leases()?.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A pod that pings another until told to stop.
struct Flow<'a> {
    workload: &'a Workload<'a>,
    from: &'a Pod,
    to: &'a str,
    pid: String,
}

impl<'a> Flow<'a> {
    fn start(workload: &'a Workload<'a>, from: &'a Pod, to: &'a str) -> Result<Self> {
        let interval = 1.0 / f64::from(RATE);
        let script = format!("ping -i {interval} {to} </dev/null >/tmp/{to} 2>&1 & echo $!");
        let pid = workload.exec(from, &["bash", "-c", &script])?;
        Ok(Self {
            workload,
            from,
            to,
            pid: pid.trim().to_owned(),
        })
    }

    /// Packets sent and answered.
    fn end(self) -> Result<(u32, u32)> {
        let Self { to, pid, .. } = self;
        let script = format!(
            "kill -INT {pid}; until grep transmitted /tmp/{to}; do sleep 0.1; done; rm /tmp/{to}"
        );
        let summary = self.workload.exec(self.from, &["bash", "-c", &script])?;
        parse(&summary).with_context(|| format!("ping says `{}`", summary.trim()))
    }
}

/// Reads `12 packets transmitted, 11 packets received, …`.
fn parse(summary: &str) -> Option<(u32, u32)> {
    let mut counts = summary.split(", ").map(|part| part.split(' ').next());
    let mut next = || counts.next()??.trim().parse().ok();
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_ping_is_read() {
        let summary = "120 packets transmitted, 118 packets received, 1% packet loss\n";
        assert_eq!(parse(summary), Some((120, 118)));
        assert_eq!(parse("ping: bad address"), None);
    }
}
