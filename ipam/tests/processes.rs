//! Many processes on one lease file, some of them killed.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panic as the tests do"
)]

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;

use fairlead_ipam::{Config, Env, NetworkName, Owner, Request, Store};

const DIR: &str = "FAIRLEAD_IPAM_TEST_DIR";
const WORKER: &str = "FAIRLEAD_IPAM_TEST_WORKER";
const WORKERS: usize = 8;
const ROUNDS: usize = 40;

fn config(dir: &Path) -> Config {
    let ranges = ["10.0.0.0/22", "fd00::/64"].map(|range| range.parse().unwrap());
    Config::for_pod_ranges("net", dir, &ranges).unwrap()
}

/// What a worker does: ADD and DEL in turns, the last 10 ADDs stay.
fn work(dir: &Path, worker: &str) {
    let (config, env) = (config(dir), Env::host().unwrap());
    for round in 0..ROUNDS {
        let owner = Owner::new(&format!("{worker}-{round}"), "eth0").unwrap();
        let (sets, requested) = (&config.sets, &config.requested);
        let request = Request {
            owner: &owner,
            netns: None,
            sets,
            requested,
        };
        let mut store = Store::open(dir, &config.network, &env).unwrap();
        assert_eq!(
            store.allocate(&request, SystemTime::now()).unwrap().len(),
            2
        );
        drop(store);
        if round < ROUNDS - 10 {
            let mut store = Store::open(dir, &config.network, &env).unwrap();
            assert_eq!(store.release(&owner).unwrap().len(), 2);
        }
    }
}

fn spawn(dir: &Path, worker: usize) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_worker_of_the_other_tests", "--nocapture"])
        .env(DIR, dir)
        .env(WORKER, worker.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Does nothing unless another test started this process for it.
#[test]
fn a_worker_of_the_other_tests() {
    if let (Some(dir), Ok(worker)) = (env::var_os(DIR), env::var(WORKER)) {
        work(&PathBuf::from(dir), &worker);
    }
}

#[test]
fn processes_at_once_never_share_an_address() {
    let dir = tempfile::tempdir().unwrap();
    let workers: Vec<Child> = (0..WORKERS).map(|n| spawn(dir.path(), n)).collect();
    for mut worker in workers {
        assert!(worker.wait().unwrap().success());
    }
    let env = Env::host().unwrap();
    let mut store = Store::open(dir.path(), &NetworkName::new("net").unwrap(), &env).unwrap();
    let leases = store.leases().unwrap();
    let addresses: BTreeSet<_> = leases.iter().map(|lease| lease.address).collect();
    assert_eq!(
        (leases.len(), addresses.len()),
        (WORKERS * 10 * 2, WORKERS * 10 * 2)
    );
}

#[test]
fn killed_processes_leave_a_file_that_others_go_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.leases");
    let env = Env::host().unwrap();
    for round in 0..20 {
        let mut workers: Vec<Child> = (0..2).map(|n| spawn(dir.path(), round * 2 + n)).collect();
        // Killed somewhere after the first of them has begun, which is where nobody chose.
        let begun = |workers: &mut Vec<Child>| {
            path.exists() || workers.iter_mut().any(|w| w.try_wait().unwrap().is_some())
        };
        while !begun(&mut workers) {
            std::thread::yield_now();
        }
        for worker in &mut workers {
            worker.kill().unwrap();
            worker.wait().unwrap();
        }
        let mut store = Store::open(dir.path(), &NetworkName::new("net").unwrap(), &env).unwrap();
        let leases = store.leases().unwrap();
        let addresses: BTreeSet<_> = leases.iter().map(|lease| lease.address).collect();
        assert_eq!(leases.len(), addresses.len());
        for lease in leases {
            store.release(&lease.owner).unwrap();
        }
        assert_eq!(store.leases().unwrap(), []);
    }
}
