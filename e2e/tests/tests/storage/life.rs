//! A volume's life: made, staged, published, written, and all the way back.

use fairlead_e2e_tests::storage::{Access, Answer, Call, Create, Disks, Node, Place, Setup};
use fairlead_e2e_vm::{GIB, MIB};

fn lives(node: &Node, name: &str, create: Create) {
    let access = create.access.clone();
    let create = Call::Create(create);
    let volume = node.make(&create).unwrap();
    assert_eq!(node.make(&create).unwrap(), volume, "{name}: asked twice");
    assert_eq!(volume.bytes, 64 * 1024 * 1024, "{name}");
    let place = Place::new(&volume.id, access);
    node.attach(&place).unwrap();
    node.attach(&place).unwrap();
    let write = |part| Call::Write {
        place: place.clone(),
        part,
        seed: 7,
    };
    let check = |part| Call::Check {
        place: place.clone(),
        part,
        seed: 7,
    };
    node.all(&[write(0), write(3), Call::Stats(place.clone())])
        .unwrap();
    node.refused(&Call::Delete(volume.id.clone()), "FAILED_PRECONDITION")
        .unwrap();
    node.detach(&place).unwrap();
    node.detach(&place).unwrap();
    node.attach(&place).unwrap();
    node.all(&[check(0), check(3)]).unwrap();
    let grown = node.grow(&place, 96 * MIB).unwrap();
    let looked = node.all(&[Call::Stats(place.clone()), check(3)]).unwrap();
    assert!(
        matches!(grown[0], Answer::Bytes(bytes, _) if bytes == 96 * 1024 * 1024),
        "{name}: {grown:?}"
    );
    let Answer::Stats { total, .. } = looked[0] else {
        panic!("{looked:?}")
    };
    assert!(
        total > 70 * 1024 * 1024,
        "{name}: {total} bytes after it grew"
    );
    node.detach(&place).unwrap();
    let delete = Call::Delete(volume.id);
    node.all(&[delete.clone(), delete]).unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_volume_lives_thin_and_thick_as_mount_and_as_block_and_leaves_nothing() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    for (name, access) in [("block", Access::block()), ("ext4", Access::mount("ext4"))] {
        let create = Create::new(name, 64 * MIB).access(access.clone());
        lives(&node, name, create);
        let create = Create::new(name, 64 * MIB).access(access).thick();
        lives(&node, name, create);
    }
    assert_eq!(node.listed().unwrap(), (Vec::new(), Vec::new()));
    let left = node.lvs().unwrap();
    assert_eq!(left, ["fairlead-pool"], "logical volumes that are left");
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn snapshots_and_clones_keep_what_was_written_and_outlive_their_volume() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    for access in [Access::block(), Access::mount("ext4")] {
        let new = |name: &str, bytes| Create::new(name, bytes).access(access.clone());
        let origin = node.make(&Call::Create(new("origin", 64 * MIB))).unwrap();
        let place = Place::new(&origin.id, access.clone());
        let write = |seed| Call::Write {
            place: place.clone(),
            part: 1,
            seed,
        };
        node.attach(&place).unwrap();
        node.call(&write(1)).unwrap();
        let snapshot = Call::snapshot("snapshot", &origin.id);
        let snapshot_1 = node.make(&snapshot).unwrap();
        node.call(&write(2)).unwrap();
        assert_eq!(node.make(&snapshot).unwrap(), snapshot_1, "asked twice");
        assert!(snapshot_1.ready && snapshot_1.created > 0, "{snapshot_1:?}");
        let restored = node
            .make(&Call::Create(
                new("restored", 64 * MIB).restore(&snapshot_1.id),
            ))
            .unwrap();
        let larger = node
            .make(&Call::Create(
                new("larger", 96 * MIB).restore(&snapshot_1.id),
            ))
            .unwrap();
        let cloned = node
            .make(&Call::Create(new("cloned", 64 * MIB).clone_of(&origin.id)))
            .unwrap();
        node.detach(&place).unwrap();
        node.all(&[Call::Delete(origin.id), Call::DeleteSnapshot(snapshot_1.id)])
            .unwrap();
        for (told, seed) in [(restored, 1), (larger, 1), (cloned, 2)] {
            let place = Place::new(&told.id, access.clone());
            node.attach(&place).unwrap();
            node.call(&Call::Check {
                place: place.clone(),
                part: 1,
                seed,
            })
            .unwrap();
            node.detach(&place).unwrap();
            node.call(&Call::Delete(told.id)).unwrap();
        }
        assert_eq!(node.listed().unwrap(), (Vec::new(), Vec::new()));
    }
    node.assert_sound().unwrap();
}
