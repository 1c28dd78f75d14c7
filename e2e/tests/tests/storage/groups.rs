//! Group snapshots: of one instant, and whatever dies, writers go on.

use std::time::Duration;

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Create, Disks, GroupCall, Node, Proof, Setup, Told,
};
use fairlead_e2e_vm::{GIB, MIB};

/// No writer waits longer than this for the disk.
const LONGEST_MS: u64 = 5000;
/// Rounds whose snapshots are taken one after the other, to see that the comparison can tell.
const ALONE: u64 = 3;

fn variable(name: &str, usual: u64) -> u64 {
    let text = std::env::var(name).unwrap_or_else(|_| usual.to_string());
    text.parse().unwrap()
}

fn node() -> (Disks, Node) {
    let disks = Disks::new(&[6 * GIB]).unwrap();
    let setup = Setup {
        supervised: true,
        ..Setup::default()
    };
    let node = Node::boot(&disks, &setup).unwrap();
    (disks, node)
}

/// What the client prints, with all that it made gone.
fn proof(node: &Node, arguments: &[&str], at_most: Duration) -> Proof {
    let text = node.client_within(arguments, at_most).unwrap();
    let proof: Proof = serde_json::from_str(&text).unwrap();
    eprintln!("{arguments:?}: {proof:?}");
    assert_eq!(node.lvs().unwrap(), ["fairlead-pool"], "{}", node.explain());
    node.assert_sound().unwrap();
    proof
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn no_volume_of_a_group_snapshot_is_ahead_of_one_that_was_written_before_it() {
    let (_disks, node) = node();
    let rounds = variable("FAIRLEAD_GROUP_SNAPSHOTS", 10);
    let arguments = [
        "groups",
        "--rounds",
        &rounds.to_string(),
        "--alone",
        &ALONE.to_string(),
    ];
    let minutes =
        Duration::from_mins(10) + Duration::from_secs(20) * u32::try_from(rounds).unwrap();
    let proof = proof(&node, &arguments, minutes);
    assert!(proof.rounds >= rounds, "{proof:?}");
    assert!(proof.moved * 10 > proof.rounds * 9, "{proof:?}");
    assert_eq!(proof.ahead, 0, "{proof:?}");
    assert!(proof.ahead_alone > 0, "{proof:?}");
    assert!(proof.longest_ms < LONGEST_MS, "{proof:?}");
}

/// At each `every`th step from the first on.
fn steps(node: &Node, act: &str, first: u64, every: u64) -> Proof {
    let (first, every) = (first.to_string(), every.to_string());
    let arguments = ["group-steps", act, "--first", &first, "--every", &every];
    let proof = proof(node, &arguments, Duration::from_mins(30));
    assert!(proof.steps > 0, "{proof:?}");
    assert_eq!(proof.ahead, 0, "{proof:?}");
    proof
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn writers_go_on_when_a_group_snapshot_is_killed_at_any_step() {
    let (_disks, node) = node();
    // In both halves of a call to device-mapper, over the suspensions, the snapshots and what follows.
    let every = variable("FAIRLEAD_GROUP_STEPS", 5);
    for act in ["kill-worker", "kill-driver", "kill-both"] {
        let proof = steps(&node, act, 0, every);
        assert!(proof.longest_ms < LONGEST_MS, "{act}: {proof:?}");
    }
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn volumes_are_let_go_in_time_when_the_worker_stands_still_or_their_disk_does() {
    let (_disks, node) = node();
    // Both volumes are held then, and one snapshot is deleted.
    steps(&node, "stop", 5, 100);
    // Before the first is held. That nothing is held any more is looked at while the disk still stands.
    steps(&node, "hold-disk", 0, 100);
}

fn group(node: &Node, name: &str, volumes: &[&Told]) -> (String, Vec<Told>) {
    match node.call(&create(name, volumes)).unwrap() {
        Answer::Group(id, snapshots) => (id, snapshots),
        other => panic!("{other:?}"),
    }
}

fn create(name: &str, volumes: &[&Told]) -> Call {
    Call::Group(GroupCall::Create {
        name: name.to_owned(),
        volumes: volumes.iter().map(|it| it.id.clone()).collect(),
    })
}

fn ids(snapshots: &[Told]) -> Vec<String> {
    snapshots.iter().map(|it| it.id.clone()).collect()
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn group_snapshots_are_made_once_told_whole_and_deleted_as_a_whole() {
    let (_disks, node) = node();
    let make = |name: &str| Create::new(name, 32 * MIB).access(Access::block());
    let volume = |create: Create| node.make(&Call::Create(create)).unwrap();
    let (a, b, c) = (volume(make("a")), volume(make("b")), volume(make("c")));
    let thick = volume(make("thick").thick());
    let refused = |call: Call, code: &str| node.refused(&call, code).unwrap();

    let (id, snapshots) = group(&node, "nightly", &[&a, &b]);
    assert_eq!(snapshots.len(), 2);
    assert_eq!(group(&node, "nightly", &[&b, &a]).0, id, "made once");
    let words = refused(create("nightly", &[&a, &c]), "ALREADY_EXISTS");
    assert!(
        words.starts_with("group snapshot nightly exists"),
        "{words}"
    );
    // A snapshot of one volume may have the group's name.
    let single = node.make(&Call::snapshot("nightly", &a.id)).unwrap();
    assert_eq!(node.listed().unwrap().1.len(), 3);

    let words = refused(create("mixed", &[&a, &thick]), "FAILED_PRECONDITION");
    assert!(words.contains(&thick.id), "{words}");
    let foreign = Told {
        id: format!("{}{}", "x".repeat(32), &a.id[32..]),
        ..a.clone()
    };
    refused(create("two", &[&a, &foreign]), "FAILED_PRECONDITION");
    refused(create("twice", &[&a, &a]), "INVALID_ARGUMENT");
    refused(create("none", &[]), "INVALID_ARGUMENT");
    let gone = Told {
        id: format!("{}{}", &a.id[..33], "x".repeat(32)),
        ..a.clone()
    };
    refused(create("gone", &[&a, &gone]), "NOT_FOUND");
    assert_eq!(node.listed().unwrap().1.len(), 3, "nothing half-made");

    let get = |snapshots: &[String]| {
        let (id, snapshots) = (id.clone(), snapshots.to_vec());
        Call::Group(GroupCall::Get { id, snapshots })
    };
    let told = node.call(&get(&ids(&snapshots))).unwrap();
    assert!(matches!(told, Answer::Group(it, all) if it == id && all.len() == 2));
    refused(get(std::slice::from_ref(&single.id)), "INVALID_ARGUMENT");
    for snapshot in &snapshots {
        refused(
            Call::DeleteSnapshot(snapshot.id.clone()),
            "INVALID_ARGUMENT",
        );
    }
    let delete = |snapshots: Vec<String>| {
        let id = id.clone();
        Call::Group(GroupCall::Delete { id, snapshots })
    };
    refused(delete(vec![single.id.clone()]), "INVALID_ARGUMENT");
    node.call(&delete(ids(&snapshots))).unwrap();
    node.call(&delete(ids(&snapshots))).unwrap();
    refused(get(&[]), "NOT_FOUND");
    assert_eq!(node.listed().unwrap().1, [single]);
    node.assert_sound().unwrap();
}
