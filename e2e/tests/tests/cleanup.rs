//! A node before Fairlead is installed and after it was removed: no difference.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fairlead_e2e_lab::{Cluster, Snapshot, program};
use fairlead_e2e_tests::three_nodes;

/// A forward chain that drops, into which `forwardAccept` puts a rule of ours.
const FIREWALL: &str = "add table inet filter; add chain inet filter forward { type filter hook forward priority 0; policy drop; }";

fn files(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files(&path, found);
        }
        found.insert(path);
    }
}

/// The kernel's state of `n1` and the names below its root.
fn state(cluster: &Cluster) -> (Snapshot, BTreeSet<PathBuf>) {
    let mut found = BTreeSet::new();
    files(&cluster.path(1, ""), &mut found);
    (Snapshot::of(cluster.ns(1)).unwrap(), found)
}

/// Runs the clean-up on `n1`; whether it succeeded, and all it said.
fn cleanup(cluster: &Cluster, arguments: &[&str]) -> (bool, String) {
    let output = cluster
        .ns(1)
        .command(
            program("fairlead-cli", "fairlead")
                .unwrap()
                .to_str()
                .unwrap(),
        )
        .args(["node", "cleanup", "--root"])
        .arg(cluster.path(1, ""))
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn leaves_nothing(network: &str) {
    let cluster = three_nodes().unwrap();
    for folder in [
        "etc/cni/net.d",
        "opt/cni/bin",
        "var/lib/cni/networks",
        "run",
    ] {
        fs::create_dir_all(cluster.path(1, folder)).unwrap();
    }
    cluster.ns(1).output("nft", &[FIREWALL]).unwrap();
    let (before, files) = state(&cluster);

    let agent = cluster
        .start_with(1, &format!("network: {network}\nforwardAccept: true"))
        .unwrap();
    agent.wait_ready().unwrap();
    let pods = ["one", "two"].map(|id| cluster.pod(1, id).unwrap());
    assert!(!before.diff(&state(&cluster).0).is_empty());
    let (done, text) = cleanup(&cluster, &[]);
    assert!(
        !done && text.contains("an agent runs on this node"),
        "{text}"
    );

    agent.terminate().unwrap();
    let (done, text) = cleanup(&cluster, &["--dry-run"]);
    assert!(done, "{text}");
    for pod in &pods {
        assert!(
            text.contains(&format!("link {} (fairlead/", pod.host_link)),
            "{text}"
        );
    }
    let (done, text) = cleanup(&cluster, &[]);
    assert!(done, "{text}");
    let (after, files_after) = state(&cluster);
    assert_eq!(before.diff(&after), "", "{text}");
    assert_eq!(files, files_after, "{text}");
    assert!(
        text.contains("removed accept rule in nft chain inet filter forward\n"),
        "{text}"
    );
    let again = (true, "nothing of Fairlead's is on this node\n".to_owned());
    assert_eq!(cleanup(&cluster, &[]), again);
}

#[test]
fn a_node_that_was_cleaned_is_as_before_mode_direct() {
    leaves_nothing("{mode: direct}");
}

#[test]
fn a_node_that_was_cleaned_is_as_before_mode_vxlan() {
    leaves_nothing("{mode: vxlan, vxlan: {tunnel: always, device: pods}}");
}
