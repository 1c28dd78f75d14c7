//! Pools that have no room left: with data, with metadata, with and without room for them in the group.

use std::time::{Duration, Instant};

use fairlead_e2e_tests::storage::{Access, Answer, Call, Create, Disks, Node, Place, Setup, VG};
use fairlead_e2e_vm::{GIB, MIB};

/// An unmount that takes longer keeps its node from ending pods.
const UNMOUNT: Duration = Duration::from_secs(30);
/// Files that a test wants to write at most.
const MOST: u32 = 400;

/// A node with a class whose pool is not made by the driver, and does what `when_full` says.
fn with_pool(disks: &Disks, when_full: &str, script: &str) -> Node {
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
        "error" => format!("lvchange -q --errorwhenfull y {VG}/fairlead-pool"),
        _ => "true".to_owned(),
    };
    node.run(&format!(
        "{script}; {error}; lvchange -q -an {VG}/fairlead-pool"
    ))
    .unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    node
}

/// A pool that cannot grow: 128 MiB of data, and every extent that is left is taken.
fn small_pool(disks: &Disks, when_full: &str) -> Node {
    let script = format!(
        "lvcreate -q -y -T -L 128m --poolmetadatasize 4m {VG}/fairlead-pool && \
         lvcreate -q -y -an -n rest -l 100%FREE {VG}"
    );
    with_pool(disks, when_full, &script)
}

/// A volume of 512 MiB in its places.
fn attached(node: &Node, access: &Access) -> Place {
    let create = Create::new("a", 512 * MIB).access(access.clone());
    let volume = node.make(&Call::Create(create)).unwrap();
    let place = Place::new(&volume.id, access.clone());
    node.attach(&place).unwrap();
    place
}

/// Writes files of 1 MiB with fsync until that fails; prints how many are on the disk, and notes their sums.
fn fill(place: &Place, most: u32) -> String {
    format!(
        "cd {}; n=0; while [ $n -lt {most} ]; do \
         dd if=/dev/urandom of=f$n bs=1M count=1 conv=fsync status=none 2>/run/why || break; \
         md5sum f$n >>/run/sums; n=$((n+1)); done; echo $n",
        place.target
    )
}

/// As [`fill`], in the background; /run/filled is there when it has ended.
fn fill_behind(node: &Node, place: &Place, most: u32) {
    let fill = fill(place, most);
    node.run(&format!(
        "({fill} >/run/files; touch /run/filled) >/dev/null 2>&1 &"
    ))
    .unwrap();
}

fn assert_sums(node: &Node, place: &Place) {
    let script = format!("cd {} && md5sum --quiet -c /run/sums", place.target);
    node.run(&script).unwrap();
}

fn wait(node: &Node, what: &str) {
    node.run(&format!(
        "for i in $(seq 600); do {what} && exit 0; sleep 0.1; done; dmsetup status; exit 1"
    ))
    .unwrap();
}

fn detach_in_time(node: &Node, place: &Place) {
    let start = Instant::now();
    node.detach(place).unwrap();
    let took = start.elapsed();
    assert!(took < UNMOUNT, "unmount took {took:?}");
}

/// Gives the group its room back and waits until the pool has some of it.
fn make_room(node: &Node) {
    node.run(&format!("lvremove -q -y {VG}/rest")).unwrap();
    let size = format!("lvs --noheadings --nosuffix --units m -o lv_size {VG}/fairlead-pool");
    wait(node, &format!("[ $({size} | cut -d. -f1) -gt 128 ]"));
}

fn errors_and_lets_go(fs: &str, at_least: u32) {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = small_pool(&disks, "error");
    let access = Access::mount(fs);
    let place = attached(&node, &access);
    let start = Instant::now();
    let text = node.run(&fill(&place, MOST)).unwrap();
    let files: u32 = text.trim().parse().unwrap();
    let took = start.elapsed();
    assert!(
        (at_least..129).contains(&files),
        "{files} files of 1 MiB in a pool of 128 MiB after {took:?}"
    );
    let (volumes, _) = node.listed().unwrap();
    assert!(volumes[0].abnormal.is_some(), "{volumes:?}");
    let another = Create::new("b", 64 * MIB).access(Access::block());
    let another = Call::Create(another.parameter("whenFull", "error"));
    node.refused(&another, "RESOURCE_EXHAUSTED").unwrap();
    detach_in_time(&node, &place);

    // The driver grows the pool as soon as there is room.
    make_room(&node);
    node.attach(&place).unwrap();
    assert_sums(&node, &place);
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
fn a_full_pool_that_answers_with_errors_keeps_every_byte_that_was_on_the_disk_and_lets_go() {
    errors_and_lets_go("ext4", 50);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn xfs_on_a_full_pool_keeps_every_byte_that_was_on_the_disk_and_lets_go() {
    // Its log alone takes half of the pool.
    errors_and_lets_go("xfs", 20);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn writes_that_wait_for_room_go_on_when_the_volume_group_gets_some() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = small_pool(&disks, "queue");
    let place = attached(&node, &Access::mount("ext4"));
    fill_behind(&node, &place, 200);
    wait(&node, "dmsetup status | grep -q out_of_data_space");
    // Room comes: the driver sees it and lets the pool grow by itself.
    make_room(&node);
    wait(&node, "[ -e /run/filled ]");
    let files = node.run("cat /run/files").unwrap();
    assert_eq!(files.trim(), "200", "{}", node.explain());
    assert_sums(&node, &place);
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn writes_that_wait_for_room_fail_when_none_comes_in_the_kernel_s_time() {
    let seconds = 5;
    let disks = Disks::new(&[GIB]).unwrap();
    let node = small_pool(&disks, "queue");
    node.run(&format!(
        "echo {seconds} >/sys/module/dm_thin_pool/parameters/no_space_timeout"
    ))
    .unwrap();
    let place = attached(&node, &Access::mount("ext4"));
    fill_behind(&node, &place, MOST);
    wait(&node, "dmsetup status | grep -q out_of_data_space");
    let start = Instant::now();
    wait(&node, "[ -e /run/filled ]");
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(seconds + 15),
        "errors came after {took:?}"
    );
    let files: u32 = node.run("cat /run/files").unwrap().trim().parse().unwrap();
    assert!((50..129).contains(&files), "{files} files");
    detach_in_time(&node, &place);
    make_room(&node);
    node.attach(&place).unwrap();
    assert_sums(&node, &place);
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_pool_grows_under_a_writer_and_the_kernel_is_asked_to_tell_of_it() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let script = format!("lvcreate -q -y -T -L 128m --poolmetadatasize 4m {VG}/fairlead-pool");
    let node = with_pool(&disks, "queue", &script);
    let place = attached(&node, &Access::mount("ext4"));
    let table = node.run("dmsetup table data-fairlead--pool-tpool").unwrap();
    let words: Vec<&str> = table.split_whitespace().collect();
    let (block, low_water): (u64, u64) = (words[5].parse().unwrap(), words[6].parse().unwrap());
    assert_eq!(low_water * block * 512 / MIB, 128 * 5 / 100, "{table}");
    let files = node.run(&fill(&place, 200)).unwrap();
    assert_eq!(files.trim(), "200", "{}", node.explain());
    assert_sums(&node, &place);
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}

/// Blocks in chunks of a pool: at the start of each, or, one in so many, behind that.
const CHUNK: u64 = 64 << 10;
const APART: u64 = 200;

/// Writes a block into each of the next chunks, at the `row`th place of a chunk; tells how far it came, and why not
/// further.
fn write_chunks(
    node: &Node,
    place: &Place,
    row: u64,
    apart: u64,
    from: u64,
    most: u64,
) -> (u64, Option<String>) {
    let fill = Call::Fill {
        place: place.clone(),
        start: row * 4096,
        stride: apart * CHUNK,
        from,
        most,
    };
    match node.call(&fill).unwrap() {
        Answer::Filled { strides, error, .. } => (strides, error),
        other => panic!("{fill:?} gives {other:?}"),
    }
}

fn chunks(place: &Place, row: u64, apart: u64, strides: u64) -> Call {
    Call::CheckFill {
        place: place.clone(),
        start: row * 4096,
        stride: apart * CHUNK,
        strides,
    }
}

/// Fills the metadata: snapshots, each of which makes nearly every write after it take a block of it, until they are
/// refused; then by writing alone. The calls that see that what was on the disk is there.
fn fill_metadata(node: &Node, volume: &str, place: &Place) -> Vec<Call> {
    const FIRST: u64 = 20_480;
    let (mut written, error) = write_chunks(node, place, 0, 1, 0, FIRST);
    assert_eq!(error, None);
    let mut checks = Vec::new();
    let refused = loop {
        let row = checks.len() as u64 + 1;
        assert!(row < 16, "{}", node.explain());
        if let Err(refused) = node
            .try_call(&Call::snapshot(&format!("s{row}"), volume))
            .unwrap()
        {
            break refused;
        }
        let (strides, error) = write_chunks(node, place, row, APART, 0, FIRST / APART);
        assert_eq!(error, None, "{}", node.explain());
        checks.push(chunks(place, row, APART, strides));
    };
    assert_eq!(refused.code, "RESOURCE_EXHAUSTED", "{refused}");
    assert!(refused.message.contains("metadata"), "{refused}");
    loop {
        let (strides, error) = write_chunks(node, place, 0, 1, written, 1024);
        written = strides;
        if error.is_some() {
            break;
        }
        assert!(written < 3 * GIB / CHUNK, "{}", node.explain());
    }
    checks.push(chunks(place, 0, 1, written));
    checks
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_pool_without_room_for_metadata_keeps_what_was_on_the_disk_and_goes_on_when_it_has_grown() {
    let disks = Disks::new(&[4 * GIB]).unwrap();
    disks.leave_bare();
    // Extents so small that the metadata is as small as LVM makes it; no block is zeroed before it is written.
    let script = format!(
        "pvcreate -q --metadatasize 16m /dev/ubda; vgcreate -q -s 1m {VG} /dev/ubda; \
         lvcreate -q -y -Zn -c 64k -T -L 3g --poolmetadatasize 2m {VG}/fairlead-pool; \
         lvcreate -q -y -an -n rest -l 100%FREE {VG}"
    );
    let node = with_pool(&disks, "queue", &script);
    let access = Access::block();
    let create = Create::new("a", 3 * GIB).access(access.clone());
    let volume = node.make(&Call::Create(create)).unwrap();
    let place = Place::new(&volume.id, access);
    node.attach(&place).unwrap();
    let checks = fill_metadata(&node, &volume.id, &place);
    let (volumes, _) = node.listed().unwrap();
    assert!(volumes[0].abnormal.is_some(), "{volumes:?}");
    // The kernel may have stopped the pool altogether: it begins anew once nobody uses it.
    detach_in_time(&node, &place);
    node.attach(&place).unwrap();
    node.all(&checks).unwrap();
    node.run(&format!("lvremove -q -y {VG}/rest")).unwrap();
    let size =
        format!("lvs --noheadings --nosuffix --units m -o lv_metadata_size {VG}/fairlead-pool");
    wait(&node, &format!("[ $({size} | cut -d. -f1) -gt 2 ]"));
    let (_, error) = write_chunks(&node, &place, 15, APART, 0, 100);
    assert_eq!(error, None, "{}", node.explain());
    node.detach(&place).unwrap();
    node.assert_sound().unwrap();
}
