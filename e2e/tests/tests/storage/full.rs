//! Pools and disks that have no room left, or fail.

use std::time::{Duration, Instant};

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup, VG};
use fairlead_e2e_vm::{GIB, MIB};

/// A node whose pool cannot grow: 128 MiB of data, and every extent that is left is taken.
fn small_pool(disks: &Disks, when_full: &str) -> Node {
    let class = format!(
        "{{name: default, vg: {VG}, createPool: false, overprovision: 20, reserve: 0%, whenFull: {when_full}}}"
    );
    let setup = Setup {
        classes: vec![class],
        ..Setup::default()
    };
    let node = Node::boot_without_driver(disks, &setup).unwrap();
    // LVM refuses to set what is set already.
    let error = match when_full {
        "error" => format!("lvchange -q --errorwhenfull y {VG}/fairlead-pool && "),
        _ => String::new(),
    };
    node.run(&format!(
        "lvcreate -q -y -T -L 128m --poolmetadatasize 4m {VG}/fairlead-pool && {error}\
         lvcreate -q -y -an -n rest -l 100%FREE {VG}"
    ))
    .unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    node
}

/// Writes files of 1 MiB with fsync until that fails; prints how many are on the disk, and their sums.
fn fill(place: &Place) -> String {
    format!(
        "cd {}; n=0; while [ $n -lt 400 ]; do \
         dd if=/dev/urandom of=f$n bs=1M count=1 conv=fsync status=none 2>/run/why || break; \
         md5sum f$n >>/run/sums; n=$((n+1)); done; echo $n",
        place.target
    )
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_full_pool_that_answers_with_errors_keeps_every_byte_that_was_on_the_disk_and_lets_go() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = small_pool(&disks, "error");
    let access = Access::mount("ext4");
    let create = Create::new("a", 512 * MIB)
        .access(access.clone())
        .parameter("whenFull", "error");
    let volume = node.make(&Call::Create(create)).unwrap();
    let place = Place::new(&volume.id, access);
    node.attach(&place).unwrap();
    let text = node.run(&fill(&place)).unwrap();
    let files: u32 = text.trim().parse().unwrap();
    assert!(
        (50..129).contains(&files),
        "{files} files of 1 MiB in a pool of 128 MiB"
    );
    let (volumes, _) = node.listed().unwrap();
    assert!(volumes[0].abnormal.is_some(), "{volumes:?}");
    let another = Call::Create(
        Create::new("b", 64 * MIB)
            .access(Access::block())
            .parameter("whenFull", "error"),
    );
    node.refused(&another, "RESOURCE_EXHAUSTED").unwrap();
    let start = Instant::now();
    node.detach(&place).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "unmount took {:?}",
        start.elapsed()
    );

    // The driver grows the pool as soon as there is room.
    node.run(&format!(
        "lvremove -q -y {VG}/rest; \
         until [ $(lvs --noheadings --nosuffix --units m -o lv_size {VG}/fairlead-pool | cut -d. -f1) -gt 128 ]; \
         do sleep 0.2; done"
    ))
    .unwrap();
    node.attach(&place).unwrap();
    node.run(&format!(
        "cd {} && md5sum --quiet -c /run/sums",
        place.target
    ))
    .unwrap();
    node.call(&Call::Write {
        place: place.clone(),
        part: 0,
        seed: 1,
    })
    .unwrap();
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn writes_that_wait_for_room_go_on_when_the_volume_group_gets_some() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = small_pool(&disks, "queue");
    let access = Access::mount("ext4");
    let volume = node
        .make(&Call::Create(
            Create::new("a", 512 * MIB).access(access.clone()),
        ))
        .unwrap();
    let place = Place::new(&volume.id, access);
    node.attach(&place).unwrap();
    let script = format!(
        "({} >/run/files; touch /run/filled) >/dev/null 2>&1 &",
        fill(&place).replace("400", "200")
    );
    node.run(&script).unwrap();
    let wait = |what: &str| {
        node.run(&format!(
            "for i in $(seq 300); do {what} && exit 0; sleep 0.2; done; exit 1"
        ))
        .unwrap();
    };
    wait("dmsetup status | grep -q out_of_data_space");
    // Room comes: the driver sees it and lets the pool grow by itself.
    node.run(&format!("lvremove -q -y {VG}/rest")).unwrap();
    wait("[ -e /run/filled ]");
    assert_eq!(
        node.run("cat /run/files").unwrap().trim(),
        "200",
        "{}",
        node.explain()
    );
    node.run(&format!(
        "cd {} && md5sum --quiet -c /run/sums",
        place.target
    ))
    .unwrap();
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}
