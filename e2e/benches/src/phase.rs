//! One verb over many pods, some at once, by threads inside of the subject's node.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use fairlead_e2e_lab::Namespace;
use nix::errno::Errno;
use nix::sys::resource::UsageWho;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::call::{Verb, call};
use crate::sample::{Sample, Watch};
use crate::subject::Subject;

/// A pod of one subject: its namespace, its container's number, and ADD's result.
#[derive(Debug)]
pub(crate) struct Pod {
    number: usize,
    netns: Namespace,
    result: Mutex<Option<String>>,
}

/// Makes pods numbered from `first`, without network.
pub(crate) fn pods(first: usize, count: usize) -> Result<Vec<Pod>> {
    (first..first + count)
        .map(|number| {
            let netns = Namespace::new("pod")?;
            Ok(Pod {
                number,
                netns,
                result: Mutex::new(None),
            })
        })
        .collect()
}

/// Runs `verb` for every pod, `at_once` at a time.
pub(crate) fn run(subject: &Subject, verb: Verb, pods: &[Pod], at_once: usize) -> Result<Sample> {
    let (next, done) = (
        AtomicUsize::new(0),
        Mutex::new(Vec::with_capacity(pods.len())),
    );
    let watch = Watch::start(UsageWho::RUSAGE_CHILDREN)?;
    let work = || -> Result<()> {
        while let Some(pod) = pods.get(next.fetch_add(1, Ordering::Relaxed)) {
            let times = one(subject, verb, pod, at_once == 1)?;
            lock(&done).push(times);
        }
        Ok(())
    };
    // Threads inherit the namespace of the one that starts them.
    subject.node.run(|| {
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
        })
    })??;
    wait_for_orphans()?;
    let (total, cpu) = watch.stop()?;
    let (walls, released): (Vec<_>, Vec<_>) = lock(&done).drain(..).unzip();
    Ok(Sample {
        walls,
        released: released.into_iter().flatten().collect(),
        cpu,
        total,
    })
}

/// Wall time of one call, and until nothing that it started runs any more.
fn one(
    subject: &Subject,
    verb: Verb,
    pod: &Pod,
    alone: bool,
) -> Result<(Duration, Option<Duration>)> {
    let previous = lock(&pod.result).clone();
    let previous = previous.as_deref().filter(|_| verb != Verb::Add);
    let start = Instant::now();
    let result = call(
        &subject.plugin,
        verb,
        pod.number,
        pod.netns.path(),
        previous,
    )?;
    let wall = start.elapsed();
    let released = alone
        .then(wait_for_orphans)
        .transpose()?
        .map(|()| start.elapsed());
    if verb == Verb::Add {
        *lock(&pod.result) = Some(result);
    }
    Ok((wall, released))
}

/// This process adopts what plugins leave behind, so that it can wait for it and count its time. Must not
/// run while a plugin does.
fn wait_for_orphans() -> Result<()> {
    loop {
        match waitpid(Pid::from_raw(-1), None) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::ECHILD) => return Ok(()),
            Err(error) => return Err(error).context("wait for what plugins left behind"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
