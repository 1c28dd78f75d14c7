//! The lab itself: two at once, interrupted, and gone without a trace.
//!
//! These make whole clusters, so they need what `make tools` builds and are run by `make test`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Clusters in a folder of their own, removed at the end however the test goes.
struct Lab {
    dir: TempDir,
    names: &'static [&'static str],
}

impl Lab {
    fn new(names: &'static [&'static str]) -> Self {
        // Not below /tmp, which may be in memory: container images are unpacked there.
        let cache = cache();
        let dir = TempDir::new_in(&cache).unwrap();
        Self { dir, names }
    }

    fn command(&self, name: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead-lab"));
        command.args(["--name", name, "--dir"]).arg(self.dir.path());
        command
            .arg("--cache")
            .arg(cache())
            .args(args)
            .stdin(Stdio::null());
        command
    }

    fn run(&self, name: &str, args: &[&str]) -> String {
        succeeded(&self.command(name, args).output().unwrap())
    }

    fn start(&self, name: &str, args: &[&str]) -> Child {
        self.command(name, args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in self.names {
            let _ = self.command(name, &["down"]).output();
        }
    }
}

fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../.cache")
        .canonicalize()
        .unwrap()
}

fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// What a lab could leave on the machine.
fn machine(names: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // Namespaces of tests that may run beside these ones.
    let is_ours = |line: &&str| !line.contains(" /run/fairlead-lab/");
    let mounts = mounts.lines().filter(is_ours);
    found.extend(mounts.map(|line| format!("mount {line}")));
    let links = fs::read_dir("/sys/class/net").unwrap();
    found.extend(links.map(|link| format!("link {}", link.unwrap().file_name().display())));
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let command = fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if names
            .iter()
            .any(|name| command.contains(&format!("/{name}/")))
        {
            found.insert(format!("process {}", command.replace('\0', " ")));
        }
    }
    for group in [
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/pids",
    ] {
        let entries = fs::read_dir(group).into_iter().flatten().flatten();
        let paths = entries.map(|entry| entry.path().display().to_string());
        found.extend(
            paths.filter(|path| names.iter().any(|name| path.ends_with(&format!("-{name}")))),
        );
    }
    for knob in [
        "vm/overcommit_memory",
        "kernel/panic",
        "net/ipv4/ip_forward",
    ] {
        let value = fs::read_to_string(Path::new("/proc/sys").join(knob)).unwrap();
        found.insert(format!("{knob} {value}"));
    }
    found
}

#[test]
#[ignore = "makes clusters: run by `make test`"]
fn two_clusters_live_side_by_side_and_leave_nothing() {
    let names = &["lab-test-a", "lab-test-b"];
    let before = machine(names);
    let lab = Lab::new(names);
    let both = names.map(|name| lab.start(name, &["up", "--nodes", "1"]));
    for up in both {
        succeeded(&up.wait_with_output().unwrap());
    }
    for name in names {
        let status = lab.run(name, &["status"]);
        assert!(
            status.contains("n1") && !status.contains("stopped"),
            "{status}"
        );
        assert_eq!(lab.run(name, &["exec", "n1", "hostname"]), "n1\n");
        let nodes = lab.run(
            name,
            &["exec", "cp", "kubectl", "get", "nodes", "-o", "name"],
        );
        assert_eq!(nodes, "node/n1\n");
    }
    // A second `up` has nothing to do.
    lab.run(names[0], &["up", "--nodes", "1"]);
    lab.run(names[0], &["down"]);
    lab.run(names[1], &["exec", "cp", "kubectl", "get", "nodes"]);
    lab.run(names[1], &["down"]);
    assert_eq!(fs::read_dir(lab.dir.path()).unwrap().count(), 0);
    assert_eq!(machine(names), before);
}

#[test]
#[ignore = "makes clusters: run by `make test`"]
fn a_killed_up_is_resumed_or_removed() {
    let names = &["lab-test-c"];
    let before = machine(names);
    let lab = Lab::new(names);
    let mut up = lab.start(names[0], &["up", "--nodes", "1"]);
    let members = lab.dir.path().join(names[0]).join("members");
    let deadline = Instant::now() + Duration::from_mins(2);
    while fs::read_dir(&members).map_or(0, Iterator::count) < 2 {
        assert!(Instant::now() < deadline, "no members were made");
        thread::yield_now();
    }
    up.kill().unwrap();
    up.wait().unwrap();
    lab.run(names[0], &["up", "--nodes", "1"]);
    lab.run(names[0], &["stop", "n1"]);
    assert!(lab.run(names[0], &["status"]).contains("stopped"));
    lab.run(names[0], &["up", "--nodes", "1"]);
    lab.run(names[0], &["down"]);
    lab.run(names[0], &["down"]);
    assert_eq!(machine(names), before);
}

#[test]
#[ignore = "makes clusters: run by `make test`"]
fn another_shape_under_the_same_name_is_refused() {
    let names = &["lab-test-d"];
    let lab = Lab::new(names);
    let mut up = lab.start(names[0], &["up", "--nodes", "1"]);
    let description = lab.dir.path().join(names[0]).join("cluster.json");
    let deadline = Instant::now() + Duration::from_mins(1);
    while !description.exists() {
        assert!(Instant::now() < deadline, "no description was written");
        thread::yield_now();
    }
    up.kill().unwrap();
    up.wait().unwrap();
    let output = lab
        .command(names[0], &["up", "--nodes", "2"])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "fairlead-lab: cluster lab-test-d exists with other options (1 nodes in 1 subnets, Containerd16, \
         Nftables, cni None): take it down first with `fairlead-lab down --name lab-test-d`\n"
    );
}
