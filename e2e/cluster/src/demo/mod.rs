//! The demonstration: a cluster, the chart on it, and a table of what works.

mod checks;
mod flow;
mod policy;
mod report;
mod wire;

use anyhow::{Result, bail};

use crate::chart::{self, Chart};
use crate::plan::{Cluster, Mode};
use crate::progress::Progress;
use crate::up;
use crate::workload::{self, Workload};

use report::Report;

/// The families, as pods and Services list their addresses.
const FAMILIES: [(usize, &str); 2] = [(0, "IPv4"), (1, "IPv6")];

/// Brings everything up and checks it. Fails when a check does.
pub(crate) fn run(
    cluster: &Cluster,
    existing: Option<&Cluster>,
    chart: &Chart,
    progress: &Progress,
) -> Result<()> {
    up::up(cluster, existing, progress)?;
    check(cluster, chart, progress)
}

/// Installs the chart on a cluster that is up, and checks it.
pub(crate) fn check(cluster: &Cluster, chart: &Chart, progress: &Progress) -> Result<()> {
    let mut report = Report::new(progress);
    let installed = install(cluster, chart, progress, &mut report);
    if installed && let Some(workload) = start_workload(cluster, progress, &mut report) {
        checks::all(&workload, &mut report);
        if chart.mode == Mode::Vxlan && cluster.subnets > 1 {
            wire::all(&workload, &mut report);
        }
        policy::all(&workload, &mut report);
        flow::survives_agent_restart(&workload, progress, &mut report);
        workload.remove();
    }
    report.print();
    match report.failed() {
        0 => Ok(()),
        failed => bail!("{failed} of the checks failed: the table says why"),
    }
}

/// Whether pods of all nodes reach those of all others, in both families.
pub(crate) fn all_pairs_talk(workload: &Workload<'_>) -> Result<()> {
    for (family, _) in FAMILIES {
        checks::across(workload, family)?;
    }
    Ok(())
}

fn install(cluster: &Cluster, chart: &Chart, progress: &Progress, report: &mut Report<'_>) -> bool {
    report.step("chart installed, an agent ready on every node", || {
        chart.apply(cluster, progress)?;
        chart::wait_for_agents(cluster, progress)?;
        Ok(String::new())
    }) && report.step("nodes Ready", || {
        let nodes = up::wait_for_nodes(cluster, progress, "nodes ready", |node| node.ready)?;
        let names: Vec<_> = nodes.iter().map(|node| node.name.clone()).collect();
        Ok(names.join(", "))
    }) && report.step("helm test", || {
        chart::helm_test(cluster).map(|_| String::new())
    })
}

fn start_workload<'a>(
    cluster: &'a Cluster,
    progress: &Progress,
    report: &mut Report<'_>,
) -> Option<Workload<'a>> {
    let mut workload = None;
    report.step(
        &format!("{} pods running", workload::pod_count(cluster)),
        || {
            let started = Workload::start(cluster, progress)?;
            let note = started.spread();
            workload = Some(started);
            Ok(note)
        },
    );
    workload
}
