//! Kubernetes' own end-to-end tests, run from the control plane's network.

mod dns;
mod policy;
mod report;
mod skipped;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::plan::{Cluster, Member};
use crate::progress::Progress;
use crate::this;

pub(crate) use policy::tests as policy;
use report::Outcome;

const LIMIT: Duration = Duration::from_hours(2);

/// Which tests to run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Selection {
    /// Regular expression over the tests' full names.
    #[arg(long)]
    focus: String,
    /// Regular expression of those to leave out.
    #[arg(long, default_value = "")]
    skip: String,
    /// Tests at once.
    #[arg(long, default_value_t = 2)]
    procs: u8,
}

/// Runs a selection; fails when a test does, or when there is none.
pub(crate) fn e2e(cluster: &Cluster, selection: &Selection, progress: &Progress) -> Result<()> {
    let outcomes = run(cluster, selection, progress)?;
    report::print(&outcomes, &[]);
    judge(&outcomes)
}

/// Runs `[sig-network]`'s conformance tests with cluster DNS.
pub(crate) fn conformance(cluster: &Cluster, procs: u8, progress: &Progress) -> Result<()> {
    dns::install(cluster, progress)?;
    let selection = Selection {
        focus: r"\[sig-network\].*\[Conformance\]".to_owned(),
        skip: skipped::pattern(&skipped::SKIPPED),
        procs,
    };
    let outcomes = run(cluster, &selection, progress)?;
    report::print(&outcomes, &skipped::SKIPPED);
    judge(&outcomes)
}

fn judge(outcomes: &[Outcome]) -> Result<()> {
    ensure!(!outcomes.is_empty(), "no test has a name that fits");
    match outcomes.iter().filter(|outcome| !outcome.passed()).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} tests failed", outcomes.len()),
    }
}

fn run(cluster: &Cluster, selection: &Selection, progress: &Progress) -> Result<Vec<Outcome>> {
    let folder = cluster.home.join("e2e");
    fs::create_dir_all(&folder).context("create the folder of results")?;
    let output = folder.join("output.log");
    let mut child = command(cluster, selection, &folder)?
        .stdout(File::create(&output)?)
        .stderr(Stdio::null())
        .spawn()
        .context("start the tests")?;
    progress.say(format!(
        "upstream's tests started; their output is in {}",
        output.display()
    ));
    let mut seen = 0;
    progress.wait("tests finished", LIMIT, || {
        let finished = finished(&output);
        if finished != seen {
            seen = finished;
            progress.say(format!("{seen} tests finished"));
        }
        Ok(child.try_wait()?)
    })?;
    let report = folder.join("report.json");
    let text = fs::read_to_string(&report)
        .with_context(|| format!("the tests wrote no report: see {}", output.display()))?;
    report::parse(&text)
}

fn command(
    cluster: &Cluster,
    selection: &Selection,
    folder: &Path,
) -> Result<std::process::Command> {
    let report = folder.join("report.json");
    if report.exists() {
        fs::remove_file(&report)?;
    }
    let e2e = cluster.tool("e2e.test");
    for tool in [&e2e, &cluster.tool("ginkgo")] {
        ensure!(
            tool.exists(),
            "{} is missing: run `make tools`",
            tool.display()
        );
    }
    let mut command = this::inside(cluster, Member::ControlPlane)?;
    command.arg("ginkgo");
    command.args(["--no-color", &format!("--procs={}", selection.procs)]);
    command.args([
        format!("--focus={}", selection.focus),
        format!("--skip={}", selection.skip),
    ]);
    command.args([
        "--json-report=report.json",
        &format!("--output-dir={}", folder.display()),
    ]);
    command.args(["--timeout=2h"]).arg(e2e).arg("--");
    command.args(["--provider=local", "--dns-domain=cluster.local"]);
    command.args([
        format!("--num-nodes={}", cluster.nodes),
        format!("--kubeconfig={}", cluster.pki("admin.kubeconfig").display()),
    ]);
    // Logs of the nodes are fetched by a script of upstream's that knows cloud machines only.
    command.args([
        "--dump-logs-on-failure=false",
        "--allowed-not-ready-nodes=0",
    ]);
    Ok(command)
}

/// ginkgo prints one mark for each test that has run.
fn finished(output: &PathBuf) -> usize {
    fs::read(output).map_or(0, |text| {
        String::from_utf8_lossy(&text).matches('•').count()
    })
}
