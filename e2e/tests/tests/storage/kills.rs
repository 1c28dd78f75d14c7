//! The driver and its LVM worker killed while volumes are written to.

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup, Stalls, VG};
use fairlead_e2e_vm::{GIB, MIB};

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

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_a_dead_driver_had_activated_for_itself_goes_and_what_is_staged_stays() {
    let disks = Disks::new(&[6 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let create = |name: &str| Create::new(name, 512 * MIB).thick().access(Access::block());
    let source = node.make(&Call::Create(create("source"))).unwrap();
    let device = format!(
        "/dev/{VG}/{}",
        node.lvs().unwrap()[0].split(' ').next().unwrap()
    );
    let raw = Create::new("raw", 16 * MIB).access(Access::block());
    let raw = Place::new(&node.make(&Call::Create(raw)).unwrap().id, Access::block());
    node.call(&Call::Stage(raw.clone())).unwrap();

    let clone = Call::Create(create("clone").clone_of(&source.id));
    let calls = serde_json::to_string(std::slice::from_ref(&clone)).unwrap();
    let client = Node::client_program().unwrap();
    node.run(&format!(
        "driver=$(pgrep -ox fairlead-csi); ({client} calls '{calls}' >/run/clone 2>&1 &) ; \
         for try in $(seq 6000); do test -e {device} && kill -9 $driver && exit; sleep 0.01; done; cat /run/clone; exit 1"
    ))
    .unwrap();
    assert_eq!(node.run(&format!("ls {device}")).unwrap().trim(), device);
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();

    node.make(&clone).unwrap();
    node.call(&Call::Delete(source.id)).unwrap();
    node.refused(&Call::Delete(raw.id.clone()), "FAILED_PRECONDITION")
        .unwrap();
    node.call(&Call::Publish(raw.clone())).unwrap();
    node.detach(&raw).unwrap();
    node.call(&Call::Delete(raw.id)).unwrap();
    let active = node
        .run("dmsetup ls | grep -v fairlead--pool || true")
        .unwrap();
    assert!(!active.contains("data-"), "left active: {active}");
}
