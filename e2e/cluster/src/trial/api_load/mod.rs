//! What the cluster's pods cost every agent: thousands of Pod objects that no kubelet runs are put into the API
//! server, every agent reads them anew, and then some change each second.
//!
//! The objects are of the size that real ones have, with what a kubelet writes into their status. An agent sees no
//! difference; neither does the API server.

mod agent;
mod api;
mod objects;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Args, value_parser};

use crate::plan::{Cluster, Member};
use crate::progress::Progress;
use crate::{chart, kubectl};

use agent::{Agent, Cost};
use api::Api;

/// Where the objects are.
const NAMESPACE: &str = "fairlead-load";
/// Requests at once while objects are made.
const AT_ONCE: u32 = 4;
/// For the objects; what is there then is measured.
const LIMIT: Duration = Duration::from_mins(15);
/// For what is under way when the time is over.
const PATIENCE: Duration = Duration::from_mins(2);

/// How much of it.
#[derive(Debug, Args)]
pub(crate) struct Amount {
    /// Pod objects.
    #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..))]
    pods: u32,
    /// Pods that change in a second, if the API server takes so many.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..))]
    changes: u32,
    /// How long they do.
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

/// Measures, and prints a table.
pub(super) fn run(cluster: &Cluster, amount: &Amount, progress: &Progress) -> Result<()> {
    let api = Api::start(cluster)?;
    kubectl::new_namespace(cluster, NAMESPACE)?;
    let pods = create(&api, amount.pods, progress)?;
    let node = Member::Node(1);
    let before = Agent::find(cluster, node)?;
    chart::Agent::on(cluster, node)?.kill(cluster)?;
    let agent = progress.wait("the agent of n1 to start again", LIMIT, || {
        Ok(Agent::find(cluster, node)?.filter(|agent| Some(agent) != before.as_ref()))
    })?;
    let first = agent.settled(cluster, pods, progress)?;
    let start = Instant::now();
    let done = change(&api, amount, pods, progress)?;
    let wall = start.elapsed();
    let changes = agent.settled(cluster, pods, progress)?.since(&first);
    print(&table(pods, &first, &changes, done, wall));
    let delete = ["delete", "namespace", NAMESPACE, "--wait=false"];
    kubectl::run(cluster, &delete).map(drop)
}

/// Makes the objects. Gives how many there are, fewer than asked for where that takes too long.
fn create(api: &Api, pods: u32, progress: &Progress) -> Result<u32> {
    let done = several_at_once("Pod objects", pods, LIMIT, progress, |number| {
        api.post(&pods_path(), &objects::pod(number))?;
        let status = format!("{}/{}/status", pods_path(), objects::name(number));
        api.patch(&status, &objects::status(number))
    })?;
    ensure!(
        done > 0,
        "not one Pod object within {} min",
        LIMIT.as_secs() / 60
    );
    let one = api.get(&format!("{}/{}", pods_path(), objects::name(0)))?;
    progress.say(format!(
        "{done} Pod objects, {} bytes each as JSON",
        one.len()
    ));
    Ok(done)
}

/// Changes a label of one of `pods` after the other, at an even rate, or as fast as the API server takes it. Gives how
/// many were changed.
fn change(api: &Api, amount: &Amount, pods: u32, progress: &Progress) -> Result<u32> {
    let limit = Duration::from_secs(1) * amount.seconds;
    progress.say(format!(
        "{} changes a second for {} s",
        amount.changes, amount.seconds
    ));
    let start = Instant::now();
    let total = amount.changes.saturating_mul(amount.seconds);
    several_at_once("changes", total, limit, progress, |number| {
        let due = Duration::from_secs(1) * number / amount.changes;
        thread::sleep(due.saturating_sub(start.elapsed()));
        let path = format!("{}/{}", pods_path(), objects::name(number % pods));
        api.patch(&path, &objects::change(number))
    })
}

/// Works on the numbers from 0 up to `total`, until the time is over, and gives how many are done.
fn several_at_once(
    what: &str,
    total: u32,
    limit: Duration,
    progress: &Progress,
    work: impl Fn(u32) -> Result<()> + Sync,
) -> Result<u32> {
    let next = AtomicU32::new(0);
    let start = Instant::now();
    let worker = || -> Result<u32> {
        let mut done = 0;
        while start.elapsed() < limit {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                break;
            }
            // The others stop too.
            work(number).inspect_err(|_| next.store(total, Ordering::Relaxed))?;
            done += 1;
        }
        Ok(done)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        progress.wait(what, limit + PATIENCE, || {
            let finished = workers.iter().all(thread::ScopedJoinHandle::is_finished);
            Ok(finished.then_some(()))
        })?;
        workers
            .into_iter()
            .map(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
            .sum::<Result<u32>>()
    })
    .with_context(|| what.to_owned())
}

fn pods_path() -> String {
    format!("/api/v1/namespaces/{NAMESPACE}/pods")
}

fn table(pods: u32, first: &Cost, changes: &Cost, done: u32, wall: Duration) -> String {
    let mb = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    let line = |what: &str, received: &str, cpu: Duration, cost: &Cost| {
        let cpu = cpu.as_secs_f64() * 1e3;
        let (resident, peak) = (mb(cost.resident), mb(cost.peak));
        format!("| {what} | {received} | {cpu:.1} ms | {resident} | {peak} |")
    };
    let each = done.max(1);
    let rate = f64::from(done) / wall.as_secs_f64();
    let received = format!("{} B", changes.received() / u64::from(each));
    [
        "| what one agent pays | received | CPU | resident | at most |".to_owned(),
        "| --- | --- | --- | --- | --- |".to_owned(),
        line(
            &format!("first list of {pods} pods"),
            &mb(first.received()),
            first.cpu,
            first,
        ),
        line(
            &format!("each of {done} changes, {rate:.0} a second"),
            &received,
            changes.cpu / each,
            changes,
        ),
    ]
    .join("\n")
}

#[expect(clippy::print_stdout, reason = "this is what the trial is for")]
fn print(table: &str) {
    println!("\n{table}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_with_the_last_number_or_with_the_time() {
        let progress = Progress::start();
        let long = Duration::from_mins(1);
        let sum = AtomicU32::new(0);
        let add = |number| {
            sum.fetch_add(number, Ordering::Relaxed);
            Ok(())
        };
        assert_eq!(
            several_at_once("adding", 10, long, &progress, add).unwrap(),
            10
        );
        assert_eq!(sum.into_inner(), 45);
        let none = several_at_once("nothing", 10, Duration::ZERO, &progress, |_| Ok(()));
        assert_eq!(none.unwrap(), 0);
    }

    #[test]
    fn one_failure_ends_all_work() {
        let progress = Progress::start();
        let long = Duration::from_hours(1);
        let result = several_at_once("pigs", u32::MAX, long, &progress, |number| {
            ensure!(number != 7, "no wings");
            Ok(())
        });
        assert_eq!(format!("{:#}", result.unwrap_err()), "pigs: no wings");
    }

    #[test]
    fn the_table_divides_by_what_was_done() {
        let cost = |received, cpu| Cost::of(received, Duration::from_millis(cpu));
        let (first, changes) = (cost(80_050_000, 9300), cost(8_100_000, 1100));
        let wall = Duration::from_secs(20);
        assert_eq!(
            table(10_000, &first, &changes, 1000, wall),
            "| what one agent pays | received | CPU | resident | at most |\n\
             | --- | --- | --- | --- | --- |\n\
             | first list of 10000 pods | 80.0 MB | 9300.0 ms | 57.0 MB | 63.0 MB |\n\
             | each of 1000 changes, 50 a second | 8100 B | 1.1 ms | 57.0 MB | 63.0 MB |"
        );
    }
}
