//! What was written is there: through snapshot, restore, clone, clone of a clone, growing, encryption, RAID.

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup, Told};
use fairlead_e2e_vm::{GIB, MIB};

const SECRET: &str = "Kq7-a-passphrase-of-the-tests";
/// `SINGLE_NODE_READER_ONLY` of csi.proto.
const READER: i32 = 2;
const SIZE: u64 = 320 * MIB;

/// One kind of volume.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// The file system; empty is raw block.
    fs: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

impl Case {
    fn access(&self) -> Access {
        if self.fs.is_empty() {
            Access::block()
        } else {
            Access::mount(self.fs)
        }
    }

    fn create(&self, name: &str, bytes: u64) -> Create {
        let create = Create::new(&format!("{}-{name}", self.name), bytes).access(self.access());
        self.parameters
            .iter()
            .fold(create, |create, (key, value)| create.parameter(key, value))
    }

    fn place(&self, told: &Told) -> Place {
        Place::new(&told.id, self.access()).secret("passphrase", SECRET)
    }

    /// Where the bytes are.
    fn file(&self, place: &Place) -> String {
        if self.fs.is_empty() {
            place.target.clone()
        } else {
            format!("{}/data", place.target)
        }
    }

    fn write(&self, node: &Node, place: &Place) -> String {
        let file = self.file(place);
        node.run(&format!(
            "dd if=/dev/urandom of={file} bs=1M count=24 conv=fsync,notrunc status=none"
        ))
        .unwrap();
        self.sum(node, place)
    }

    fn sum(&self, node: &Node, place: &Place) -> String {
        node.run(&format!("head -c 24M {} | md5sum", self.file(place)))
            .unwrap()
    }

    fn grow(&self, node: &Node, place: &Place, bytes: u64) {
        node.grow(place, bytes).unwrap();
        let total = self.total(node, place);
        assert!(
            total > bytes * 8 / 10,
            "{}: {total} bytes after it grew to {bytes}",
            self.name
        );
    }

    fn total(&self, node: &Node, place: &Place) -> u64 {
        let how = if self.fs.is_empty() {
            format!("blockdev --getsize64 {}", place.target)
        } else {
            format!("df -B1 --output=size {} | tail -n 1", place.target)
        };
        node.run(&how).unwrap().trim().parse().unwrap()
    }

    /// The whole tour; copies only where they are asked for.
    fn tour(&self, node: &Node, copies: bool) {
        let origin = node
            .make(&Call::Create(self.create("origin", SIZE)))
            .unwrap();
        let place = self.place(&origin);
        node.attach(&place).unwrap();
        let first = self.write(node, &place);
        let mut others = Vec::new();
        if copies {
            let snapshot = node
                .make(&Call::snapshot(&format!("{}-snap", self.name), &origin.id))
                .unwrap();
            let second = self.write(node, &place);
            assert_ne!(first, second);
            let made = |create: Create| node.make(&Call::Create(create)).unwrap();
            let restored = made(self.create("restored", SIZE).restore(&snapshot.id));
            let larger = made(
                self.create("larger", SIZE + 128 * MIB)
                    .restore(&snapshot.id),
            );
            let clone = made(self.create("clone", SIZE).clone_of(&origin.id));
            let again = made(self.create("again", SIZE).clone_of(&clone.id));
            let sums = [
                (&restored, &first),
                (&larger, &first),
                (&clone, &second),
                (&again, &second),
            ];
            for (told, sum) in sums {
                let copy = self.place(told);
                node.attach(&copy).unwrap();
                assert_eq!(&self.sum(node, &copy), sum, "{}: {}", self.name, told.id);
            }
            let total = self.total(node, &self.place(&larger));
            assert!(
                total > SIZE + 32 * MIB,
                "{}: a larger restore has {total} bytes",
                self.name
            );
            self.grow(node, &place, SIZE + 64 * MIB);
            assert_eq!(
                self.sum(node, &place),
                second,
                "{}: after it grew",
                self.name
            );
            others = vec![restored, larger, clone, again];
            node.call(&Call::DeleteSnapshot(snapshot.id)).unwrap();
        } else {
            self.grow(node, &place, SIZE + 64 * MIB);
            assert_eq!(
                self.sum(node, &place),
                first,
                "{}: after it grew",
                self.name
            );
        }
        for told in others.iter().chain([&origin]) {
            let place = self.place(told);
            let before = self.sum(node, &place);
            node.detach(&place).unwrap();
            node.attach(&place).unwrap();
            assert_eq!(
                self.sum(node, &place),
                before,
                "{}: after another mount",
                self.name
            );
            node.detach(&place).unwrap();
            node.call(&Call::Delete(told.id.clone())).unwrap();
        }
    }
}

fn tour(disks: &[u64], cases: &[Case], copies: bool) {
    let disks = Disks::new(disks).unwrap();
    let setup = Setup {
        memory: "700M".to_owned(),
        ..Setup::default()
    };
    let node = Node::boot(&disks, &setup).unwrap();
    for case in cases {
        case.tour(&node, copies);
    }
    assert_eq!(node.listed().unwrap(), (Vec::new(), Vec::new()));
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn thin_volumes_keep_their_bytes_through_copies_and_growth() {
    let cases = ["ext4", "xfs", "btrfs", ""].map(|fs| Case {
        name: if fs.is_empty() { "block" } else { fs },
        fs,
        parameters: &[],
    });
    tour(&[6 * GIB], &cases, true);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn encrypted_volumes_keep_their_bytes_through_copies_and_growth() {
    let parameters = &[("encryption", "luks2")];
    let cases = [
        Case {
            name: "ext4",
            fs: "ext4",
            parameters,
        },
        Case {
            name: "xfs",
            fs: "xfs",
            parameters,
        },
        Case {
            name: "block",
            fs: "",
            parameters,
        },
    ];
    tour(&[6 * GIB], &cases, true);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn thick_volumes_of_every_layout_keep_their_bytes_through_growth() {
    let cases = [
        Case {
            name: "linear",
            fs: "ext4",
            parameters: &[("thin", "false")],
        },
        Case {
            name: "striped",
            fs: "xfs",
            parameters: &[("thin", "false"), ("stripes", "2")],
        },
        Case {
            name: "raid1",
            fs: "btrfs",
            parameters: &[("thin", "false"), ("raid", "raid1")],
        },
    ];
    tour(&[2 * GIB, 2 * GIB], &cases, false);
}

/// Appends files with fsync and notes each one only when it is on disk; the notes are in memory.
const WRITER: &str = r"
mkdir -p /run/noted
setsid bash -c 'i=0; while [ ! -e /run/stop ]; do
  i=$((i + 1))
  head -c $((RANDOM % 9000 + 1)) /dev/urandom >/run/next
  dd if=/run/next of=TARGET/f$i conv=fsync status=none && sync TARGET &&
    md5sum </run/next >/run/noted/$i.part && mv /run/noted/$i.part /run/noted/$i
done' >/dev/null 2>&1 &
";

/// All that was noted before the snapshot is in the copy.
fn assert_noted_is_in(node: &Node, notes: &str, place: &Place) {
    let target = &place.target;
    let script = format!(
        "cd {notes}; n=0; for i in *; do n=$((n + 1)); \
         [ \"$(md5sum <{target}/f$i)\" = \"$(cat $i)\" ] || {{ echo \"f$i differs or is missing\"; exit 1; }}; \
         done; echo $n"
    );
    let count: u32 = node.run(&script).unwrap().trim().parse().unwrap();
    assert!(
        count >= 10,
        "only {count} files were written before the snapshot"
    );
}

fn snapshot_under_load(fs: &str) {
    let disks = Disks::new(&[4 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let new = |name: &str| Create::new(name, SIZE).access(Access::mount(fs));
    let origin = node.make(&Call::Create(new("origin"))).unwrap();
    let place = Place::new(&origin.id, Access::mount(fs));
    node.attach(&place).unwrap();
    node.run(&WRITER.replace("TARGET", &place.target)).unwrap();
    let mut snapshots = Vec::new();
    for round in 1..=2 {
        let enough = 25 * round;
        node.run(&format!(
            "for t in $(seq 600); do [ $(ls /run/noted | wc -l) -ge {enough} ] && break; sleep 0.1; done"
        ))
        .unwrap();
        let notes = format!("/run/before-{round}");
        node.run(&format!(
            "mkdir {notes}; cp $(ls -d /run/noted/* | grep -v part) {notes}"
        ))
        .unwrap();
        let snapshot = node
            .make(&Call::snapshot(&format!("snap-{round}"), &origin.id))
            .unwrap();
        snapshots.push((notes, snapshot));
    }
    for (notes, snapshot) in &snapshots {
        let restored = node
            .make(&Call::Create(
                new(&format!("rw{notes}")).restore(&snapshot.id),
            ))
            .unwrap();
        let copy = Place::new(&restored.id, Access::mount(fs));
        node.attach(&copy).unwrap();
        assert_noted_is_in(&node, notes, &copy);
        node.run(&format!("echo more >{}/more && sync {0}/more", copy.target))
            .unwrap();
        let reader = Access::mount(fs).mode(READER);
        let create = new(&format!("ro{notes}"))
            .access(reader.clone())
            .restore(&snapshot.id);
        let restored = node.make(&Call::Create(create)).unwrap();
        let copy = Place::new(&restored.id, reader).read_only();
        node.attach(&copy).unwrap();
        assert_noted_is_in(&node, notes, &copy);
        node.run(&format!("! touch {}/more", copy.target)).unwrap();
    }
    // The writer goes on beside all of its copies.
    node.run(
        "a=$(ls /run/noted | wc -l); for t in $(seq 300); do b=$(ls /run/noted | wc -l); \
         [ $b -gt $a ] && break; sleep 0.1; done; [ $b -gt $a ]; touch /run/stop",
    )
    .unwrap();
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn every_fsynced_byte_of_ext4_is_in_a_snapshot_restored_beside_its_writer() {
    snapshot_under_load("ext4");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn every_fsynced_byte_of_xfs_is_in_a_snapshot_restored_beside_its_writer() {
    snapshot_under_load("xfs");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn every_fsynced_byte_of_btrfs_is_in_a_snapshot_restored_beside_its_writer() {
    snapshot_under_load("btrfs");
}
