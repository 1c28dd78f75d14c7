//! A large cluster: a change writes only what it changes. Run with `--nocapture` to see what it takes; at 100,000 pods
//! with `SCALE_PODS`.

#![expect(
    clippy::unwrap_used,
    reason = "numbers that do not fit and files that cannot be read fail the test"
)]

mod large;

use std::time::Instant;

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::tables::Write;

use large::{HERE, Shared, attach, pods, policy, relabelled, settle, tell_pods, tell_policies};

/// CPU time of this thread in microseconds: others may be using the machine.
fn cpu() -> u128 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: u128 = schedstat.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1000
}

fn told(what: &str, mut times: Vec<u128>) {
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    eprintln!("{what}: p50 {p50} µs, p99 {p99} µs");
}

/// A compiler that knows the cluster and has made its first update.
fn started(shared: &Shared, pods: usize) -> Compiler {
    let mut compiler = Compiler::new();
    tell_policies(&mut compiler, shared);
    tell_pods(&mut compiler, shared, pods);
    let start = cpu();
    let writes = compiler.take_update().writes.len();
    let took = (cpu() - start) / 1000;
    eprintln!("first update: {writes} writes, {took} ms of CPU");
    let start = cpu();
    let cells = compiler.tables().cells.len();
    let took = (cpu() - start) / 1000;
    eprintln!("tables: {cells} cells, {took} ms of CPU");
    settle(&mut compiler);
    eprintln!("{:?}", compiler.counts());
    compiler
}

/// Something that the compiler is told.
type Change<'a> = Box<dyn FnOnce(&mut Compiler) + 'a>;

/// How long each change takes to compile, from the event to the writes.
fn timed(what: &str, compiler: &mut Compiler, changes: Vec<Change<'_>>) {
    let mut times = Vec::new();
    for change in changes {
        let start = Instant::now();
        change(compiler);
        let writes = compiler.take_update().writes;
        times.push(start.elapsed().as_micros());
        assert!(writes.len() < 20_000, "{what}: {} writes", writes.len());
    }
    told(what, times);
}

#[test]
fn a_change_in_a_large_cluster_writes_only_what_it_changes() {
    let pods = pods();
    let shared = Shared::new(pods);
    let mut compiler = started(&shared, pods);
    let mut times = Vec::new();
    for at in (0..2000).map(|at| 2 * HERE + at * 7 % (pods - 2 * HERE)) {
        let pod = relabelled(&shared, at);
        let start = Instant::now();
        compiler.set_pod(pod);
        let writes = compiler.take_update().writes;
        times.push(start.elapsed().as_micros());
        let flip = |write: &&Write| matches!(write, Write::Address(..) | Write::Endpoint(..));
        let flips = writes.iter().filter(flip).count();
        assert!(flips <= 1, "{flips} flips for one pod elsewhere");
        assert!(writes.len() < 1000, "{} writes", writes.len());
    }
    told("label change of a pod elsewhere", times);
}

#[test]
fn changes_of_a_node_in_a_large_cluster_do_not_write_all_of_it() {
    let pods = pods();
    let shared = &Shared::new(pods);
    let mut compiler = started(shared, pods);
    let compiler = &mut compiler;
    let mut changes: Vec<Change<'_>> = Vec::new();
    for at in 0..HERE {
        changes.push(Box::new(move |to| to.set_pod(relabelled(shared, at))));
    }
    timed("label change of a pod here", compiler, changes);
    let mut changes: Vec<Change<'_>> = Vec::new();
    for at in HERE..2 * HERE {
        changes.push(Box::new(move |to| attach(to, &shared.pod(at), at)));
    }
    timed("a pod starts here", compiler, changes);
    let mut changes: Vec<Change<'_>> = Vec::new();
    for at in 0..100 {
        let mut other = policy(at);
        other.ingress = policy(at + 1).ingress;
        changes.push(Box::new(move |to| to.set_policy(other)));
    }
    timed("a policy changes", compiler, changes);
    eprintln!("{:?}", compiler.counts());
}
