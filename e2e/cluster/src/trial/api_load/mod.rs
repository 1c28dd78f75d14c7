//! What the cluster's pods cost every agent: thousands of Pod objects that no kubelet runs are put into the API
//! server, every agent reads them anew, and then some change each second.
//!
//! The objects are of the size that real ones have, with what a kubelet writes into their status. An agent sees no
//! difference; neither does the API server.

mod agent;
mod api;
mod objects;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;

use crate::plan::{Cluster, Member};
use crate::progress::Progress;
use crate::{chart, kubectl};

use agent::{Agent, Cost};
use api::Api;

/// Where the objects are.
const NAMESPACE: &str = "fairlead-load";
/// Requests at once while objects are made.
const AT_ONCE: u32 = 4;
const LIMIT: Duration = Duration::from_mins(15);

/// How much of it.
#[derive(Debug, Args)]
pub(crate) struct Amount {
    /// Pod objects.
    #[arg(long, default_value_t = 10_000)]
    pods: u32,
    /// Pods that change in a second.
    #[arg(long, default_value_t = 100)]
    changes: u32,
    /// How long they do.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

/// Measures, and prints a table.
pub(super) fn run(cluster: &Cluster, amount: &Amount, progress: &Progress) -> Result<()> {
    let api = Api::start(cluster)?;
    kubectl::new_namespace(cluster, NAMESPACE)?;
    let bytes = create(&api, amount.pods, progress)?;
    progress.say(format!(
        "{} Pod objects, {bytes} bytes each as JSON",
        amount.pods
    ));
    let node = Member::Node(1);
    let before = Agent::find(cluster, node)?;
    chart::Agent::on(cluster, node)?.kill(cluster)?;
    let agent = progress.wait("the agent of n1 to start again", LIMIT, || {
        Ok(Agent::find(cluster, node)?.filter(|agent| Some(agent) != before.as_ref()))
    })?;
    let first = agent.settled(progress)?;
    let start = Instant::now();
    let done = change(&api, amount, progress)?;
    let wall = start.elapsed();
    let changes = agent.settled(progress)?.since(&first);
    print(amount, &first, &changes, done, wall);
    kubectl::run(cluster, &["delete", "namespace", NAMESPACE, "--wait=false"])?;
    ensure!(
        agent.is_alive()?,
        "the agent of {node} did not live through it"
    );
    Ok(())
}

/// Makes the objects and gives the size of one.
fn create(api: &Api, pods: u32, progress: &Progress) -> Result<usize> {
    thread::scope(|scope| {
        let makers: Vec<_> = (0..AT_ONCE)
            .map(|first| {
                scope.spawn(move || -> Result<()> {
                    for number in (first..pods).step_by(AT_ONCE as usize) {
                        api.post(&pods_path(), &objects::pod(number))?;
                        let status = format!("{}/{}/status", pods_path(), objects::name(number));
                        api.patch(&status, &objects::status(number))?;
                    }
                    Ok(())
                })
            })
            .collect();
        progress.wait("Pod objects", LIMIT, || {
            Ok(makers
                .iter()
                .all(thread::ScopedJoinHandle::is_finished)
                .then_some(()))
        })?;
        makers
            .into_iter()
            .try_for_each(|maker| maker.join().map_err(|_| anyhow!("a maker panicked"))?)
    })?;
    let one = api.get(&format!("{}/{}", pods_path(), objects::name(0)))?;
    Ok(one.len())
}

/// Changes a label of one pod after the other, at an even rate. Gives how many were changed.
fn change(api: &Api, amount: &Amount, progress: &Progress) -> Result<u32> {
    let total = amount.changes * amount.seconds;
    progress.say(format!(
        "{} changes a second for {} s",
        amount.changes, amount.seconds
    ));
    let start = Instant::now();
    thread::scope(|scope| {
        let changers: Vec<_> = (0..AT_ONCE)
            .map(|first| {
                scope.spawn(move || -> Result<()> {
                    for number in (first..total).step_by(AT_ONCE as usize) {
                        let due = Duration::from_secs(1) * number / amount.changes;
                        thread::sleep(due.saturating_sub(start.elapsed()));
                        let path =
                            format!("{}/{}", pods_path(), objects::name(number % amount.pods));
                        api.patch(&path, &objects::change(number))?;
                    }
                    Ok(())
                })
            })
            .collect();
        changers
            .into_iter()
            .try_for_each(|changer| changer.join().map_err(|_| anyhow!("a changer panicked"))?)
    })
    .context("change pods")?;
    Ok(total)
}

fn pods_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

#[expect(clippy::print_stdout, reason = "this is what the trial is for")]
fn print(amount: &Amount, first: &Cost, changes: &Cost, done: u32, wall: Duration) {
    let mb = |bytes: u64| format!("{}.{:02} MB", bytes / 1_000_000, bytes % 1_000_000 / 10_000);
    let rate = f64::from(done) / wall.as_secs_f64();
    println!(
        "\n| what an agent pays | received | CPU | resident | at most |\n| --- | --- | --- | --- | --- |"
    );
    println!(
        "| first list of {} pods | {} | {} ms | {} | {} |",
        amount.pods,
        mb(first.received),
        first.cpu.as_millis(),
        mb(first.resident),
        mb(first.peak)
    );
    let part = changes.cpu.as_secs_f64() / wall.as_secs_f64() * 100.0;
    println!(
        "| {done} changes, {rate:.0} a second | {}, {} B each | {} ms, {part:.1} % of a CPU | {} | {} |",
        mb(changes.received),
        changes.received / u64::from(done.max(1)),
        changes.cpu.as_millis(),
        mb(changes.resident),
        mb(changes.peak)
    );
}
