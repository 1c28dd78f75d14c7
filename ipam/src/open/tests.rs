use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::mpsc;
use std::time::SystemTime;

use super::*;
use crate::{Config, Owner, Request};

fn name() -> NetworkName {
    NetworkName::new("my.net").unwrap()
}

fn config(dir: &Path) -> Config {
    Config::for_pod_ranges("my.net", dir, &["10.0.0.0/24".parse().unwrap()]).unwrap()
}

fn add(store: &mut Store<'_>, config: &Config, container: &str) -> std::net::IpAddr {
    let owner = Owner::new(container, "eth0").unwrap();
    let (sets, requested) = (&config.sets, &config.requested);
    let request = Request {
        owner: &owner,
        netns: None,
        sets,
        requested,
    };
    store.allocate(&request, SystemTime::now()).unwrap()[0]
        .address
        .ip()
}

#[test]
fn leases_stay_in_a_file_that_only_root_can_read() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::host().unwrap());
    let (data, config) = (dir.path().join("made/here"), config(dir.path()));
    assert!(
        Store::open_existing(&data, &name(), &env)
            .unwrap()
            .is_none()
    );
    assert!(!data.exists());
    let first = add(
        &mut Store::open(&data, &name(), &env).unwrap(),
        &config,
        "a",
    );
    let mut again = Store::open_existing(&data, &name(), &env).unwrap().unwrap();
    assert_eq!(again.leases().unwrap()[0].address, first);
    let stat = std::fs::metadata(data.join("my.net.leases")).unwrap();
    assert_eq!(stat.permissions().mode() & 0o777, 0o600);
    assert!(stat.modified().is_ok());
}

#[test]
fn symbolic_links_and_other_kinds_of_file_are_refused() {
    let (dir, env) = (tempfile::tempdir().unwrap(), Env::host().unwrap());
    let path = dir.path().join("my.net.leases");
    symlink("/nonexistent/elsewhere", &path).unwrap();
    let refused = || {
        Store::open(dir.path(), &name(), &env)
            .unwrap_err()
            .to_string()
    };
    let shown = path.display();
    assert_eq!(
        refused(),
        format!("cannot open {shown}: Too many levels of symbolic links (os error 40)")
    );
    assert!(Store::open_existing(dir.path(), &name(), &env).is_err());
    std::fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
    assert_eq!(
        refused(),
        format!("cannot open {shown}: not a regular file")
    );
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(
        refused(),
        format!("cannot open {shown}: Is a directory (os error 21)")
    );
}

#[test]
fn who_waited_for_a_file_that_was_removed_makes_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let (env, config) = (Env::host().unwrap(), config(dir.path()));
    let mut first = Store::open(dir.path(), &name(), &env).unwrap();
    add(&mut first, &config, "a");
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut second = Store::open(dir.path(), &name(), &env).unwrap();
            sender.send(add(&mut second, &config, "b")).unwrap();
        });
        std::fs::remove_file(dir.path().join("my.net.leases")).unwrap();
        drop(first);
        receiver.recv().unwrap();
    });
    let mut now = Store::open(dir.path(), &name(), &env).unwrap();
    assert_eq!(now.leases().unwrap().len(), 1);
    assert!(
        now.held_by(&Owner::new("b", "eth0").unwrap())
            .unwrap()
            .len()
            == 1
    );
}
