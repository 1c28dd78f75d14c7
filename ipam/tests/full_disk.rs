//! A file system that really is full.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panic as the tests do"
)]

use std::path::Path;
use std::time::SystemTime;

use fairlead_ipam::{Config, Env, ErrorKind, Owner, Request, Store};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Mounts a small tmpfs where only this thread sees it.
fn small_disk(at: &Path) {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(
        Some("tmpfs"),
        at,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("size=256k"),
    )
    .unwrap();
}

#[test]
fn a_full_disk_is_named_and_everything_held_stays_held() {
    let dir = tempfile::tempdir().unwrap();
    small_disk(dir.path());
    let config =
        Config::for_pod_ranges("net", dir.path(), &["fd00::/64".parse().unwrap()]).unwrap();
    let env = Env::host().unwrap();
    let add = |name: String| {
        let owner = Owner::new(&name, "eth0").unwrap();
        let (sets, requested) = (&config.sets, &config.requested);
        let request = Request {
            owner: &owner,
            netns: None,
            sets,
            requested,
        };
        let mut store = Store::open(dir.path(), &config.network, &env)?;
        store.allocate(&request, SystemTime::now()).map(|_| owner)
    };
    let mut owners = Vec::new();
    let error = loop {
        match add(format!("c{}", owners.len())) {
            Ok(owner) => owners.push(owner),
            Err(error) => break error,
        }
    };
    let path = dir.path().join("net.leases");
    assert_eq!(error.kind(), ErrorKind::Io);
    assert_eq!(
        error.to_string(),
        format!(
            "cannot write {}: the file system is full; free some space there, nothing was changed",
            path.display()
        )
    );
    assert!(owners.len() >= 128, "only {} fit", owners.len());
    let mut store = Store::open(dir.path(), &config.network, &env).unwrap();
    assert_eq!(store.leases().unwrap().len(), owners.len());
    store.release(&owners[0]).unwrap();
    drop(store);
    add("one-more".into()).unwrap();
    add("and-none".into()).unwrap_err();
}
