//! No volume shows what another one has left; `wipe: delete` leaves nothing.

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup};
use fairlead_e2e_vm::{GIB, MIB};

/// Fills all that is free in the volume group with a pattern.
const FILL: &str = "lvcreate -q -y -Wn -l 100%FREE -n pattern data >/dev/null
    tr '\\0' 'P' </dev/zero | dd of=/dev/data/pattern bs=1M iflag=fullblock status=none || true
    sync; lvremove -q -y data/pattern >/dev/null";

fn write(node: &Node, place: &Place, letter: char) {
    let bytes = "blockdev --getsize64";
    node.run(&format!(
        "set +o pipefail; tr '\\0' {letter} </dev/zero | head -c $({bytes} {0}) | dd of={0} bs=1M \
         iflag=fullblock conv=fsync status=none",
        place.target
    ))
    .unwrap();
}

fn assert_zeros(node: &Node, place: &Place, from: u64, what: &str) {
    let script = format!(
        "set +o pipefail; tail -c +{} {} | tr -d '\\0' | head -c 64 | wc -c",
        from + 1,
        place.target
    );
    let found: u64 = node.run(&script).unwrap().trim().parse().unwrap();
    assert_eq!(
        found, 0,
        "{what}: {found} bytes (at most 64 are counted) are not zero"
    );
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn new_grown_and_recycled_thick_volumes_read_as_zeros_on_disks_full_of_a_pattern() {
    let disks = Disks::new(&[700 * MIB, 700 * MIB]).unwrap();
    let node = Node::boot_without_driver(&disks, &Setup::default()).unwrap();
    node.run(FILL).unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    let layouts: [(&str, &[(&str, &str)]); 3] = [
        ("linear", &[]),
        ("striped", &[("stripes", "2")]),
        ("raid1", &[("raid", "raid1")]),
    ];
    for (name, parameters) in layouts {
        for round in ["new", "recycled"] {
            let create = Create::new(&format!("{name}-{round}"), 64 * MIB).access(Access::block());
            let create = parameters
                .iter()
                .fold(create.thick(), |create, (key, value)| {
                    create.parameter(key, value)
                });
            let volume = node.make(&Call::Create(create)).unwrap();
            let place = Place::new(&volume.id, Access::block());
            node.attach(&place).unwrap();
            assert_zeros(&node, &place, 0, &format!("{name}, {round}"));
            write(&node, &place, 'X');
            node.grow(&place, 128 * MIB).unwrap();
            assert_zeros(&node, &place, 64 * MIB, &format!("{name}, {round}, grown"));
            write(&node, &place, 'Y');
            node.detach(&place).unwrap();
            node.call(&Call::Delete(volume.id)).unwrap();
        }
    }
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn wipe_delete_leaves_no_byte_and_gives_the_space_back_only_after() {
    // The pool, its metadata twice, and the reserve leave room for a thick volume.
    let disks = Disks::new(&[GIB + 512 * MIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    for thin in ["true", "false"] {
        let create = Create::new(&format!("wiped-{thin}"), 64 * MIB)
            .access(Access::block())
            .parameter("wipe", "delete")
            .parameter("thin", thin);
        let volume = node.make(&Call::Create(create)).unwrap();
        let place = Place::new(&volume.id, Access::block());
        node.attach(&place).unwrap();
        write(&node, &place, 'W');
        node.detach(&place).unwrap();
        let full = node
            .run("sync; grep -c WWWWWWWWWWWWWWWW /dev/ubda || true")
            .unwrap();
        assert_ne!(
            full.trim(),
            "0",
            "thin {thin}: the bytes are on the disk before"
        );
        let free = || {
            node.run("vgs --noheadings --units b --nosuffix -o vg_free data")
                .unwrap()
        };
        let before = free();
        node.call(&Call::Delete(volume.id.clone())).unwrap();
        assert_eq!(
            node.listed().unwrap().0,
            [],
            "thin {thin}: it is deleted for its user"
        );
        // What is free is read before it is seen that the volume is still to be erased.
        node.run(&format!(
            "for t in $(seq 600); do \
             free=$(vgs --noheadings --units b --nosuffix -o vg_free data); \
             lvs --noheadings -o lv_tags data | grep -q 'fl\\.d=' || exit 0; \
             [ $free = {} ] || {{ echo \"$free bytes are free before all is erased\"; exit 1; }}; \
             sleep 0.1; done; lvs -o +tags data; exit 1",
            before.trim()
        ))
        .unwrap();
        let left = node.run(
            "sync; echo 3 >/proc/sys/vm/drop_caches; grep -c WWWWWWWWWWWWWWWW /dev/ubda || true",
        );
        assert_eq!(
            left.unwrap().trim(),
            "0",
            "thin {thin}: bytes are left on the disk"
        );
        if thin == "false" {
            assert_ne!(free(), before, "its space came back");
        }
    }
    node.assert_sound().unwrap();
}
