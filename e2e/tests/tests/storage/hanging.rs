//! Disks that fail or hang while the driver runs: their group is unreachable, other groups go on.

use std::time::{Duration, Instant};

use fairlead_e2e_tests::storage::{Access, Answer, Call, Create, Disks, Node, Place, Setup, Told};
use fairlead_e2e_vm::{GIB, MIB};

/// The disk of group `other` is a device-mapper device, whose table can be exchanged. It leaves out the disk's first
/// sectors, so that the disk itself does not look like a physical volume.
const PREPARE: &str = "
size=$(($(blockdev --getsz /dev/ubdb) - 8))
dmsetup create pv-b --table \"0 $size linear /dev/ubdb 8\"
dmsetup mknodes pv-b
pvcreate -q --metadatasize 16m /dev/ubda /dev/mapper/pv-b
vgcreate -q data /dev/ubda
vgcreate -q other /dev/mapper/pv-b
";

/// Good again; what was held up goes on.
const HEAL: &str = "
size=$(($(blockdev --getsz /dev/ubdb) - 8))
dmsetup load pv-b --table \"0 $size linear /dev/ubdb 8\"
dmsetup suspend --nolockfs pv-b
dmsetup resume pv-b
";

/// LVM's metadata can be read and written, and nothing behind it: that takes an hour.
const HANG: &str = "
modprobe dm-delay
size=$(($(blockdev --getsz /dev/ubdb) - 8))
start=$(pvs --noheadings --nosuffix --units s -o pe_start /dev/mapper/pv-b | tr -d ' ')
printf '%s\\n' \"0 $start linear /dev/ubdb 8\" \\
    \"$start $((size - start)) delay /dev/ubdb $((8 + start)) 3600000\" | dmsetup load pv-b
dmsetup suspend --nolockfs pv-b
dmsetup resume pv-b
";

fn node(disks: &Disks) -> Node {
    disks.leave_bare();
    let classes = ["data", "other"].map(|vg| format!("{{name: {vg}, vg: {vg}}}"));
    let setup = Setup {
        classes: classes.into(),
        ..Setup::default()
    };
    let node = Node::boot_without_driver(disks, &setup).unwrap();
    node.run(PREPARE).unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    node
}

fn create(class: &str, name: &str) -> Create {
    Create::new(name, 64 * MIB)
        .access(Access::block())
        .parameter("class", class)
}

fn place(volume: &Told) -> Place {
    Place::new(&volume.id, Access::block())
}

fn write(node: &Node, volume: &Told) {
    let place = place(volume);
    node.call(&Call::Write {
        place,
        part: 0,
        seed: 5,
    })
    .unwrap();
}

fn check(node: &Node, volume: &Told) {
    let place = place(volume);
    node.call(&Call::Check {
        place,
        part: 0,
        seed: 5,
    })
    .unwrap();
}

/// What the other group is good for meanwhile: everything.
fn assert_goes_on(node: &Node, volume: &Told, name: &str) {
    check(node, volume);
    write(node, volume);
    let new = node.make(&Call::Create(create("data", name))).unwrap();
    node.attach(&place(&new)).unwrap();
    node.detach(&place(&new)).unwrap();
    node.call(&Call::Delete(new.id)).unwrap();
    for (vg, readable) in [("data", 1), ("other", 0)] {
        let metric = format!("fairlead_csi_group_readable{{vg=\"{vg}\"}} {readable}");
        let metrics = node.run("curl -s 127.0.0.1:9478/metrics").unwrap();
        assert!(metrics.contains(&metric), "no {metric} in {metrics}");
    }
}

/// Every call for the other group is refused, in words that name it and the reason; so health says.
fn assert_refused(node: &Node, volume: &Told, why: &str, reason: &str) {
    let health = node.call(&Call::StorageHealth).unwrap();
    assert_eq!(health, Answer::Names(vec![reason.to_owned()]));
    for call in [
        Call::Delete(volume.id.clone()),
        Call::Stage(place(volume)),
        Call::snapshot("s", &volume.id),
        Call::Create(create("other", "new")),
    ] {
        let told = node.refused(&call, "UNAVAILABLE").unwrap();
        assert!(
            told.contains("other") && told.contains(why),
            "{call:?}: {told}"
        );
    }
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_disk_that_fails_under_the_driver_makes_its_group_unreachable_and_no_other() {
    let disks = Disks::new(&[2 * GIB, 2 * GIB]).unwrap();
    let node = node(&disks);
    let [good, bad] = ["data", "other"].map(|class| {
        let create = create(class, class).thick();
        let volume = node.make(&Call::Create(create)).unwrap();
        node.attach(&place(&volume)).unwrap();
        write(&node, &volume);
        volume
    });
    node.run("dmsetup wipe_table pv-b").unwrap();
    assert_refused(&node, &bad, "/dev/mapper/pv-b", "GroupUnreachable");
    node.refused(&Call::Volumes, "UNAVAILABLE").unwrap();
    assert_goes_on(&node, &good, "new");
    node.run(HEAL).unwrap();
    check(&node, &bad);
    for volume in [&good, &bad] {
        node.detach(&place(volume)).unwrap();
        node.call(&Call::Delete(volume.id.clone())).unwrap();
    }
    assert_eq!(node.listed().unwrap(), (Vec::new(), Vec::new()));
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_disk_that_is_pulled_under_the_driver_is_missed_by_its_group_and_by_no_other() {
    let disks = Disks::new(&[2 * GIB, GIB, 2 * GIB]).unwrap();
    let node = node(&disks);
    node.run("pvcreate -q --metadatasize 16m /dev/ubdc && vgextend -q other /dev/ubdc")
        .unwrap();
    let [good, bad, lost] = [("data", 64), ("other", 64), ("other", 1500)].map(|(class, mib)| {
        let mut create = create(class, &format!("{class}-{mib}")).thick();
        create.bytes = mib * 1024 * 1024;
        let volume = node.make(&Call::Create(create)).unwrap();
        node.attach(&place(&volume)).unwrap();
        write(&node, &volume);
        volume
    });
    node.detach(&place(&lost)).unwrap();
    node.run("mv /dev/ubdc /run/pulled").unwrap();
    assert_refused(&node, &lost, "other is not complete", "DiskMissing");
    // All are known, and which of them lack the disk.
    let (listed, _) = node.listed().unwrap();
    assert_eq!(listed.len(), 3);
    for volume in &listed {
        let missing = volume
            .abnormal
            .as_deref()
            .is_some_and(|it| it.contains("missing"));
        assert!(missing || volume.id != lost.id, "{volume:?}");
        assert!(!missing || volume.id != good.id, "{volume:?}");
    }
    assert_goes_on(&node, &good, "new");
    check(&node, &bad);
    write(&node, &bad);
    node.run("mv /run/pulled /dev/ubdc").unwrap();
    for volume in [&good, &bad, &lost] {
        node.attach(&place(volume)).unwrap();
        check(&node, volume);
        node.detach(&place(volume)).unwrap();
        node.call(&Call::Delete(volume.id.clone())).unwrap();
    }
    let health = node.call(&Call::StorageHealth).unwrap();
    assert_eq!(health, Answer::Names(Vec::new()));
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_command_that_hangs_in_the_kernel_is_abandoned_and_its_group_unreachable_until_it_ends() {
    let disks = Disks::new(&[2 * GIB, 2 * GIB]).unwrap();
    let node = node(&disks);
    let [good, bad] = ["data", "other"].map(|class| {
        let create = create(class, class);
        let volume = node.make(&Call::Create(create)).unwrap();
        node.attach(&place(&volume)).unwrap();
        write(&node, &volume);
        volume
    });
    node.detach(&place(&bad)).unwrap();
    node.run("lvchange -an other").unwrap();
    node.run(HANG).unwrap();
    // The activation reads the pool: after a minute it is given up.
    let told = node
        .refused(&Call::Stage(place(&bad)), "UNAVAILABLE")
        .unwrap();
    assert!(told.contains("hangs in the kernel"), "{told}");
    let start = Instant::now();
    assert_refused(&node, &bad, "hangs in the kernel", "GroupUnreachable");
    assert_goes_on(&node, &good, "new");
    let took = start.elapsed();
    assert!(took < Duration::from_mins(1), "told only after {took:?}");

    node.run(HEAL).unwrap();
    let deadline = Instant::now() + Duration::from_mins(3);
    while let Err(refused) = node.try_call(&Call::Stage(place(&bad))).unwrap() {
        assert!(Instant::now() < deadline, "{refused}\n{}", node.explain());
    }
    node.attach(&place(&bad)).unwrap();
    check(&node, &bad);
    node.assert_sound().unwrap();
}
