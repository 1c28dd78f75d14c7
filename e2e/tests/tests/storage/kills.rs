//! The driver and its LVM worker killed while volumes are written to.

use fairlead_e2e_tests::storage::{Disks, Node, Setup, Stalls};
use fairlead_e2e_vm::GIB;

/// No writer waits longer than this for the disk.
const LONGEST_MS: u64 = 5000;

fn kill(word: &str) {
    let disks = Disks::new(&[6 * GIB]).unwrap();
    let setup = Setup {
        supervised: true,
        ..Setup::default()
    };
    let node = Node::boot(&disks, &setup).unwrap();
    let kills = std::env::var("FAIRLEAD_KILLS").unwrap_or_else(|_| "20".to_owned());
    let seed = fastrand::u64(..).to_string();
    let text = node
        .client(&["kill", word, "--kills", &kills, "--seed", &seed])
        .unwrap();
    let stalls: Stalls = serde_json::from_str(&text).unwrap();
    eprintln!("seed {seed}: {stalls:?}");
    assert!(stalls.kills >= kills.parse().unwrap(), "{stalls:?}");
    assert!(stalls.longest_ms < LONGEST_MS, "{stalls:?}");
    assert_eq!(
        node.lvs().unwrap(),
        ["fairlead-pool"],
        "logical volumes that are left"
    );
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn writers_go_on_when_the_driver_is_killed_at_any_instant() {
    kill("run");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn writers_go_on_when_the_lvm_worker_is_killed_at_any_instant() {
    kill("lvm-worker");
}
