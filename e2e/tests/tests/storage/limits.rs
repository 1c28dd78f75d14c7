//! Limits of I/O: `io.max` of the pods' cgroup follows the volume.

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Create, Disks, Node, Place, Setup, parameters,
};
use fairlead_e2e_vm::{GIB, MIB};

/// Where kubelet's cgroup driver puts pods.
const PODS: &str = "/sys/fs/cgroup/kubepods";
const MODIFY: &str = "MODIFY_VOLUME";

fn modify(volume: &str, words: &[(&str, &str)]) -> Call {
    Call::Modify {
        volume: volume.to_owned(),
        parameters: parameters(words),
    }
}

fn capabilities(node: &Node) -> Vec<String> {
    match node.call(&Call::Capabilities).unwrap() {
        Answer::Names(names) => names,
        other => panic!("{other:?}"),
    }
}

/// The device of a published block volume, as `io.max` names it.
fn number(node: &Node, place: &Place) -> String {
    let script = format!("stat -L -c %Hr:%Lr {}", place.target);
    node.run(&script).unwrap().trim().to_owned()
}

/// The kernel's limits of a published block volume.
fn kernel(node: &Node, place: &Place) -> String {
    let number = number(node, place);
    let text = node.run(&format!("cat {PODS}/io.max")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let line = lines.find(|(device, _)| *device == number);
    line.map_or_else(String::new, |(_, limits)| limits.to_owned())
}

/// Waits until the kernel's limits are these again.
fn await_limits(node: &Node, place: &Place, limits: &str) {
    let line = format!("{} {limits}", number(node, place));
    let script = format!(
        "for i in $(seq 600); do grep -qxF '{line}' {PODS}/io.max && exit 0; sleep 0.1; done; \
         cat {PODS}/io.max; exit 1"
    );
    node.run(&script).unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn limits_are_set_at_stage_changed_at_once_and_come_back_when_they_drift() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    node.run(&format!("mkdir {PODS}")).unwrap();
    assert!(capabilities(&node).contains(&MODIFY.to_owned()));
    let create = Create::new("a", 64 * MIB)
        .access(Access::block())
        .mutable("writeBps", "2Mi");
    let create = Call::Create(create);
    let volume = node.make(&create).unwrap();
    assert_eq!(node.make(&create).unwrap(), volume, "asked twice");
    let place = Place::new(&volume.id, Access::block());
    node.attach(&place).unwrap();
    let at_stage = "rbps=max wbps=2097152 riops=max wiops=max";
    assert_eq!(kernel(&node, &place), at_stage);
    assert_throttled(&node, &place);

    let words = [("writeBps", "max"), ("readIops", "100")];
    node.call(&modify(&volume.id, &words)).unwrap();
    let changed = "rbps=max wbps=max riops=100 wiops=max";
    assert_eq!(kernel(&node, &place), changed);
    // One wrong word, and nothing is changed.
    for (words, names) in [
        ([("readIops", "5"), ("speed", "9")], "speed \"9\""),
        ([("readIops", "5"), ("writeBps", "1")], "writeBps \"1\""),
    ] {
        let why = node.refused(&modify(&volume.id, &words), "INVALID_ARGUMENT");
        let why = why.unwrap();
        assert!(why.contains(names), "{why}");
        assert_eq!(kernel(&node, &place), changed);
    }

    let device = number(&node, &place);
    node.run(&format!("echo '{device} riops=7 wbps=4096' >{PODS}/io.max"))
        .unwrap();
    await_limits(&node, &place, changed);
    node.run(&format!("rmdir {PODS} && mkdir {PODS}")).unwrap();
    await_limits(&node, &place, changed);

    // While it is not staged a change is kept, and applied at the next stage.
    node.detach(&place).unwrap();
    node.call(&modify(&volume.id, &[("readBps", "8Mi")]))
        .unwrap();
    node.attach(&place).unwrap();
    let both = "rbps=8388608 wbps=max riops=100 wiops=max";
    assert_eq!(kernel(&node, &place), both);
    let lifted = [("readBps", "max"), ("readIops", "max")];
    node.call(&modify(&volume.id, &lifted)).unwrap();
    assert_eq!(kernel(&node, &place), "");
    node.detach(&place).unwrap();
    node.call(&Call::Delete(volume.id)).unwrap();
    node.assert_sound().unwrap();
}

/// 6 MiB at 2 MiB a second: the first second's worth may come at once.
fn assert_throttled(node: &Node, place: &Place) {
    let script = format!(
        "mkdir {PODS}/pod && echo $$ >{PODS}/pod/cgroup.procs; start=$(date +%s%N); \
         dd if=/dev/zero of={} bs=1M count=6 oflag=direct conv=notrunc status=none; end=$(date +%s%N); \
         echo $$ >/sys/fs/cgroup/cgroup.procs; rmdir {PODS}/pod; echo $(((end - start) / 1000000))",
        place.target
    );
    let text = node.run(&script).unwrap();
    let milliseconds: u64 = text.trim().parse().unwrap();
    assert!(
        milliseconds > 1900,
        "6 MiB at 2 MiB a second took {milliseconds} ms"
    );
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn without_the_io_controller_of_cgroup_v2_limits_are_not_offered() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    node.run(&format!("mkdir {PODS}")).unwrap();
    let limited = |name: &str| {
        let create = Create::new(name, 16 * MIB).access(Access::block());
        Call::Create(create.mutable("readIops", "100"))
    };
    let volume = node.make(&limited("a")).unwrap();
    // As cgroup v1 has it: a folder of pods, and no io.max.
    let v1 = "mount -t tmpfs v1 /sys/fs/cgroup && mkdir -p /sys/fs/cgroup/blkio/kubepods /sys/fs/cgroup/kubepods";
    node.run(v1).unwrap();
    assert!(!capabilities(&node).contains(&MODIFY.to_owned()));
    let change = modify(&volume.id, &[("readIops", "200")]);
    let why = node.refused(&change, "UNIMPLEMENTED").unwrap();
    assert!(why.contains("cgroup v2"), "{why}");
    let why = node.refused(&limited("b"), "INVALID_ARGUMENT").unwrap();
    assert!(why.contains("cgroup v2"), "{why}");
    // What has limits from before is staged all the same.
    let place = Place::new(&volume.id, Access::block());
    node.attach(&place).unwrap();
    node.detach(&place).unwrap();
    node.call(&Call::Delete(volume.id)).unwrap();
    assert_eq!(node.lvs().unwrap(), ["fairlead-pool"]);
}
