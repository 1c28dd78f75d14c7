//! The API server is stopped for minutes, longer than watches and their back-off last. Pods of all
//! nodes call each other all the while, on a new connection each time, although an agent dies
//! meanwhile and has to start without the API server.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use crate::demo;
use crate::plan::{Cluster, Member};
use crate::progress::Progress;
use crate::supervisor::Hold;
use crate::workload::{PORT, Pod, Workload};
use crate::{chart, kubectl, up};

/// Seconds between two calls of one pod to another.
const PAUSE: u64 = 2;

/// How long the kubelet may take to tell an API server that came back.
const STATUS: Duration = Duration::from_mins(1);

pub(super) fn run(cluster: &Cluster, minutes: u64, progress: &Progress) -> Result<()> {
    let workload = Workload::start(cluster, progress)?;
    let agent = chart::Agent::on(cluster, Member::Node(1))?;
    let hold = Hold::new(cluster, Member::ControlPlane, "apiserver")?;
    ensure!(
        kubectl::run(cluster, &["get", "--raw=/readyz"]).is_err(),
        "the API server still answers"
    );
    progress.say(format!("the API server is gone for {minutes} min"));
    agent.kill(cluster)?;
    let calls = calls_meanwhile(&workload, minutes * 60, progress)?;
    drop(hold);
    up::wait_for_api(cluster, progress)?;
    progress.say(format!("{calls} calls answered; the API server is back"));
    up::wait_for_nodes(cluster, progress, "nodes ready", |node| node.ready)?;
    // The API server first shows what the kubelet told it before it was stopped.
    progress.wait("another agent in place of the killed one", STATUS, || {
        Ok((chart::Agent::on(cluster, Member::Node(1))? != agent).then_some(()))
    })?;
    chart::wait_for_agents(cluster, progress)?;
    let again = workload.start_again(progress)?;
    demo::all_pairs_talk(&again)?;
    again.remove();
    progress.say("pods made since then talk across nodes too");
    Ok(())
}

/// Lets every pair call for `seconds`, in both families, and counts. A call that fails is an error.
fn calls_meanwhile(workload: &Workload<'_>, seconds: u64, progress: &Progress) -> Result<usize> {
    let mut ways = Vec::new();
    for (from, to) in workload.pairs_across_nodes()? {
        ways.extend(to.addresses.iter().map(|address| (from, address.as_str())));
    }
    let limit = Duration::from_secs(seconds + 120);
    thread::scope(|scope| {
        let callers: Vec<_> = ways
            .into_iter()
            .enumerate()
            .map(|(number, (from, to))| {
                scope.spawn(move || call(workload, &format!("way-{number}"), from, to, seconds))
            })
            .collect();
        progress.wait("pods call each other", limit, || {
            Ok(callers
                .iter()
                .all(thread::ScopedJoinHandle::is_finished)
                .then_some(()))
        })?;
        let mut sum = 0;
        for caller in callers {
            sum += caller
                .join()
                .map_err(|_| anyhow!("a caller's thread panicked"))??;
        }
        Ok(sum)
    })
}

fn call(workload: &Workload<'_>, id: &str, from: &Pod, to: &str, seconds: u64) -> Result<usize> {
    let endpoint = std::net::SocketAddr::new(to.parse()?, PORT);
    let script = format!(
        "end=$((SECONDS + {seconds})); while [ $SECONDS -lt $end ]; do \
         curl -sS --max-time 5 -o /dev/null -w '%{{http_code}}\\n' http://{endpoint}/hostname; \
         sleep {PAUSE}; done 2>&1"
    );
    let answers = workload.exec_on_node(from, id, &["bash", "-c", &script])?;
    let bad: Vec<_> = answers.lines().filter(|line| *line != "200").collect();
    ensure!(
        bad.is_empty(),
        "{} of {} calls from {} to {to} failed: {}",
        bad.len(),
        answers.lines().count(),
        from.name,
        bad.first().context("no call")?
    );
    Ok(answers.lines().count())
}
