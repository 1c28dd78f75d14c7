//! A flow that outlives the agents.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::chart;
use crate::progress::Progress;
use crate::workload::{PORT, Pod, Workload};

use super::report::Report;

/// Requests of one batch, all on one connection, about five seconds of them.
const BATCH: usize = 100;
const RATE: &str = "20/s";

/// Deletes all agents under requests from one node to another, until new ones are ready.
pub(super) fn survives_agent_restart(
    workload: &Workload<'_>,
    progress: &Progress,
    report: &mut Report<'_>,
) {
    report.step("agents restarted under a flow, nothing lost", || {
        let pairs = workload.pairs_across_nodes()?;
        let &(from, to) = pairs.first().context("no pair of pods")?;
        let restarted = AtomicBool::new(false);
        let sent = thread::scope(|scope| {
            let flow = scope.spawn(|| send(workload, from, to, &restarted));
            let outcome = chart::delete_agents(workload.cluster)
                .and_then(|()| chart::wait_for_agents(workload.cluster, progress));
            restarted.store(true, Ordering::Relaxed);
            let sent = flow
                .join()
                .map_err(|_| anyhow!("the flow's thread panicked"))?;
            outcome?;
            sent
        })?;
        Ok(format!("{sent} requests, all answered"))
    });
}

/// Sends batch after batch, and one more after the restart; fails at the first request that does.
fn send(workload: &Workload<'_>, from: &Pod, to: &Pod, restarted: &AtomicBool) -> Result<usize> {
    let address = to.addresses.first().context("a pod without an address")?;
    let url = format!("http://{address}:{PORT}/echo?msg=[1-{BATCH}]");
    let format = "%{stderr}%{http_code} %{num_connects}\\n";
    let mut sent = 0;
    loop {
        let last = restarted.load(Ordering::Relaxed);
        let script =
            format!("curl -sS --max-time 60 --rate {RATE} -o /dev/null -w '{format}' '{url}' 2>&1");
        let answer = workload.exec(from, &["bash", "-c", &script])?;
        sent += count(&answer)?;
        if last {
            return Ok(sent);
        }
    }
}

/// Reads curl's lines `<status> <new connections>`.
fn count(answer: &str) -> Result<usize> {
    let good = answer
        .lines()
        .filter(|line| line.starts_with("200 "))
        .count();
    ensure!(
        good == BATCH,
        "{good} of {BATCH} requests were answered: {}",
        answer.trim()
    );
    let connections = answer.lines().filter(|line| !line.ends_with(" 0")).count();
    ensure!(
        connections == 1,
        "the connection broke: {connections} were needed"
    );
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(first: &str, rest: &str, count: usize) -> String {
        format!("{first}\n{}", format!("{rest}\n").repeat(count))
    }

    #[test]
    fn a_batch_on_one_connection_is_counted() {
        assert_eq!(count(&answer("200 1", "200 0", BATCH - 1)).unwrap(), BATCH);
    }

    #[test]
    fn a_second_connection_is_a_broken_flow() {
        let error = count(&answer("200 1\n200 1", "200 0", BATCH - 2)).unwrap_err();
        assert_eq!(error.to_string(), "the connection broke: 2 were needed");
    }

    #[test]
    fn a_lost_request_is_an_error() {
        let error = count("200 1\n000 1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 of 100 requests were answered: 200 1\n000 1"
        );
    }
}
