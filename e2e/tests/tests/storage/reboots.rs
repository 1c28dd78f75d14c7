//! Nodes that come back with other disks, or as part of another cluster: nothing is deleted, and the codes are right.

use std::time::{Duration, Instant};

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Create, Disks, Node, Place, Setup, Told, VG,
};
use fairlead_e2e_vm::{GIB, MIB};

const PART: u8 = 0;
const SEED: u64 = 9;

fn create(name: &str) -> Call {
    Call::Create(Create::new(name, 400 * MIB).access(Access::block()).thick())
}

fn place(volume: &Told) -> Place {
    Place::new(&volume.id, Access::block())
}

/// Three volumes on disks of which none holds all, with data, and a power failure.
fn prepared(disks: &Disks) -> Vec<Told> {
    let node = Node::boot(disks, &Setup::default()).unwrap();
    let volumes = ["a", "b", "c"].map(|name| {
        let volume = node.make(&create(name)).unwrap();
        let place = place(&volume);
        node.attach(&place).unwrap();
        node.call(&Call::Write {
            place,
            part: PART,
            seed: SEED,
        })
        .unwrap();
        volume
    });
    node.kill().unwrap();
    volumes.into()
}

/// A number of make conformance, or that of make test.
fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

fn disks() -> Disks {
    Disks::new(&[600 * MIB, 600 * MIB, 600 * MIB]).unwrap()
}

fn plugged(disks: &[usize]) -> Setup {
    Setup {
        plugged: disks.to_vec(),
        ..Setup::default()
    }
}

/// All is there and whole.
fn assert_whole(node: &Node, volumes: &[Told]) {
    let (mut listed, _) = node.listed().unwrap();
    listed.sort();
    let mut wanted = volumes.to_vec();
    wanted.sort();
    assert_eq!(listed, wanted);
    for volume in volumes {
        let place = place(volume);
        node.attach(&place).unwrap();
        node.call(&Call::Check {
            place: place.clone(),
            part: PART,
            seed: SEED,
        })
        .unwrap();
        node.detach(&place).unwrap();
    }
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn disks_may_come_back_in_another_order_or_without_one_or_not_at_all() {
    let disks = disks();
    let volumes = prepared(&disks);

    // Without one: its volumes are not said to be gone, and none of the group's is made or deleted.
    let node = Node::boot(&disks, &plugged(&[2, 0])).unwrap();
    let missing = volumes.iter().map(|volume| Call::Delete(volume.id.clone()));
    for call in missing.chain([create("a"), create("d")]) {
        node.refused(&call, "UNAVAILABLE").unwrap();
    }
    let codes: Vec<String> = volumes
        .iter()
        .filter_map(|volume| node.try_call(&Call::Stage(place(volume))).unwrap().err())
        .map(|refused| refused.code)
        .collect();
    assert!(
        codes.contains(&"UNAVAILABLE".to_owned()),
        "stages without a disk: {codes:?}"
    );
    assert!(
        codes.iter().all(|code| code == "UNAVAILABLE"),
        "stages without a disk: {codes:?}"
    );
    node.kill().unwrap();

    // None at all: the same.
    let bare = Disks::new(&[GIB]).unwrap();
    bare.leave_bare();
    let node = Node::boot(&bare, &Setup::default()).unwrap();
    for call in [
        Call::Delete(volumes[0].id.clone()),
        Call::Stage(place(&volumes[0])),
        create("a"),
    ] {
        node.refused(&call, "UNAVAILABLE").unwrap();
    }
    node.kill().unwrap();

    let node = Node::boot(&disks, &plugged(&[1, 2, 0])).unwrap();
    assert_whole(&node, &volumes);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_belongs_to_another_cluster_is_neither_listed_nor_touched() {
    let disks = disks();
    let volumes = prepared(&disks);
    let other = Setup {
        cluster: "99999999-2222-3333-4444-555555555555".to_owned(),
        ..Setup::default()
    };
    let node = Node::boot(&disks, &other).unwrap();
    assert_eq!(node.listed().unwrap(), (Vec::new(), Vec::new()));
    for call in [
        Call::Delete(volumes[0].id.clone()),
        Call::Stage(place(&volumes[0])),
    ] {
        node.refused(&call, "FAILED_PRECONDITION").unwrap();
    }
    let small = |name| Call::Create(Create::new(name, 16 * MIB).access(Access::block()).thick());
    let namesake = node.make(&small("a")).unwrap();
    assert!(volumes.iter().all(|volume| volume.id != namesake.id));
    assert_eq!(node.lvs().unwrap().len(), 4);
    node.call(&Call::Delete(namesake.id)).unwrap();
    node.kill().unwrap();

    // Without an id the driver does not run, and touches nothing.
    let nameless = Setup {
        cluster: String::new(),
        ..Setup::default()
    };
    let node = Node::boot_without_driver(&disks, &nameless).unwrap();
    node.start_driver().unwrap();
    let log = "for i in $(seq 100); do grep cluster.id /run/driver.log && exit 0; sleep 0.1; done; exit 1";
    assert_eq!(
        node.run(log).unwrap().trim(),
        "fairlead-csi: /etc/fairlead/csi.yaml: cluster.id: must be set here or as CLUSTER_ID in the environment"
    );
    node.kill().unwrap();

    let node = Node::boot(&disks, &Setup::default()).unwrap();
    assert_whole(&node, &volumes);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_disk_that_comes_late_brings_its_volumes_back() {
    let disks = disks();
    let volumes = prepared(&disks);
    let node = Node::boot_without_driver(&disks, &Setup::default()).unwrap();
    // The node's file goes, and comes when the driver has run for a while.
    node.run("mv /dev/ubdb /run/late").unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    let comes = Instant::now() + Duration::from_secs(number("FAIRLEAD_LATE_SECONDS", 1));
    while Instant::now() < comes {
        for volume in &volumes {
            node.refused(&Call::Delete(volume.id.clone()), "UNAVAILABLE")
                .unwrap();
        }
        node.refused(&create("a"), "UNAVAILABLE").unwrap();
        node.refused(&create("d"), "UNAVAILABLE").unwrap();
    }
    node.run("mv /run/late /dev/ubdb").unwrap();
    assert_whole(&node, &volumes);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_cluster_that_was_restored_from_a_backup_finds_what_it_knows_and_deletes_nothing_else() {
    let disks = disks();
    let mut volumes = prepared(&disks);
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    // What the cluster has forgotten and asks for again is what is there, with its content.
    assert_eq!(node.make(&create("a")).unwrap(), volumes[0]);
    let larger = Create::new("b", 500 * MIB).access(Access::block()).thick();
    node.refused(&Call::Create(larger), "ALREADY_EXISTS")
        .unwrap();
    // What it still knows and had been deleted since is not there, and so it is said.
    node.call(&Call::Delete(volumes[2].id.clone())).unwrap();
    let gone = volumes.remove(2);
    node.refused(&Call::Stage(place(&gone)), "NOT_FOUND")
        .unwrap();
    node.call(&Call::Delete(gone.id)).unwrap();
    assert_whole(&node, &volumes);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn many_volumes_are_all_there_after_a_power_failure_whatever_comes_up() {
    let count = number("FAIRLEAD_VOLUMES", 40);
    let disks = Disks::new(&[20 * GIB, 2 * GIB]).unwrap();
    let setup = Setup {
        classes: vec![format!("{{name: default, vg: {VG}, overprovision: 100}}")],
        ..Setup::default()
    };
    let node = Node::boot(&disks, &setup).unwrap();
    let new = |n| Call::Create(Create::new(&format!("v{n}"), 64 * MIB).access(Access::block()));
    let names: Vec<u64> = (0..count).collect();
    let mut volumes = Vec::new();
    for some in names.chunks(50) {
        let calls: Vec<Call> = some.iter().map(|n| new(*n)).collect();
        for answer in node.all(&calls).unwrap() {
            let Answer::One(told) = answer else {
                panic!("{answer:?}")
            };
            volumes.push(told);
        }
    }
    let sample = [0, count / 2, count - 1].map(|n| volumes[usize::try_from(n).unwrap()].clone());
    for volume in &sample {
        node.attach(&place(volume)).unwrap();
        node.call(&Call::Write {
            place: place(volume),
            part: PART,
            seed: SEED,
        })
        .unwrap();
    }
    volumes.sort();
    node.kill().unwrap();

    let other = Setup {
        cluster: "99999999-2222-3333-4444-555555555555".to_owned(),
        ..setup.clone()
    };
    let node = Node::boot(&disks, &other).unwrap();
    assert_eq!(node.listed().unwrap(), (Vec::new(), Vec::new()));
    let lvs = node.lvs().unwrap().len();
    assert!(lvs as u64 > count, "{lvs} logical volumes of {count}");
    node.kill().unwrap();

    let partial = Setup {
        plugged: vec![0],
        ..setup.clone()
    };
    let node = Node::boot(&disks, &partial).unwrap();
    for call in [Call::Delete(sample[0].id.clone()), new(0), new(count)] {
        node.refused(&call, "UNAVAILABLE").unwrap();
    }
    node.kill().unwrap();

    let order = Setup {
        plugged: vec![1, 0],
        ..setup
    };
    let node = Node::boot(&disks, &order).unwrap();
    let (mut listed, _) = node.listed().unwrap();
    listed.sort();
    assert!(listed == volumes, "{} of {count}", listed.len());
    for volume in &sample {
        node.attach(&place(volume)).unwrap();
        node.call(&Call::Check {
            place: place(volume),
            part: PART,
            seed: SEED,
        })
        .unwrap();
        node.detach(&place(volume)).unwrap();
    }
    assert_eq!(node.lvs().unwrap().len(), lvs);
    node.assert_sound().unwrap();
}
