//! Access modes: what a second call on a staged or published volume means (spec.md, `NodePublishVolume`).

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup};
use fairlead_e2e_vm::{GIB, MIB};

const SINGLE_NODE_WRITER: i32 = 1;
const SINGLE_NODE_READER_ONLY: i32 = 2;
const MULTI_NODE_READER_ONLY: i32 = 3;
const MULTI_NODE_SINGLE_WRITER: i32 = 4;
const MULTI_NODE_MULTI_WRITER: i32 = 5;
const SINGLE_NODE_SINGLE_WRITER: i32 = 6;
const SINGLE_NODE_MULTI_WRITER: i32 = 7;

fn flipped(place: &Place) -> Place {
    Place {
        read_only: !place.read_only,
        ..place.clone()
    }
}

/// All second calls; `many` says whether the mode allows several targets.
fn second_calls(node: &Node, place: &Place, many: bool) {
    let mode = place.access.mode;
    let other = place.clone().target(&format!("{}-2", place.target));
    let publish = |place: &Place| Call::Publish(place.clone());
    node.attach(place).unwrap();
    node.all(&[Call::Stage(place.clone()), publish(place)])
        .unwrap();
    let reader = [SINGLE_NODE_READER_ONLY, MULTI_NODE_READER_ONLY].contains(&mode);
    if !reader {
        let words = node.refused(&publish(&flipped(place)), "ALREADY_EXISTS");
        let words = words.unwrap();
        assert!(words.contains(&place.target), "{words}");
    }
    for second in [other.clone(), flipped(&other)] {
        if many {
            node.all(&[publish(&second), publish(&second), Call::Unpublish(second)])
                .unwrap();
        } else {
            let words = node.refused(&publish(&second), "FAILED_PRECONDITION");
            let words = words.unwrap();
            assert!(words.contains(&place.target), "mode {mode}: {words}");
        }
    }
    let write = format!("touch {}/x", place.target);
    match (place.access.block, reader) {
        (true, true) => node.run(&format!(
            "! dd if=/dev/zero of={} bs=4k count=1 status=none",
            place.target
        )),
        (true, false) => node.run(&format!(
            "dd if=/dev/zero of={} bs=4k count=1 status=none",
            place.target
        )),
        (false, true) => node.run(&format!("! {write}")),
        (false, false) => node.run(&write),
    }
    .unwrap();
    node.detach(place).unwrap();
    // Its end allows another place.
    node.attach(&other).unwrap();
    node.detach(&other).unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn second_calls_end_as_the_tables_of_the_specification_say() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    for (kind, access) in [("mount", Access::mount("ext4")), ("block", Access::block())] {
        for (mode, many) in [
            (SINGLE_NODE_WRITER, false),
            (SINGLE_NODE_SINGLE_WRITER, false),
            (SINGLE_NODE_MULTI_WRITER, true),
            (SINGLE_NODE_READER_ONLY, false),
            (MULTI_NODE_READER_ONLY, true),
        ] {
            let access = access.clone().mode(mode);
            let create = Create::new(&format!("{kind}-{mode}"), 32 * MIB).access(access.clone());
            let volume = node.make(&Call::Create(create)).unwrap();
            second_calls(&node, &Place::new(&volume.id, access), many);
            node.call(&Call::Delete(volume.id)).unwrap();
        }
        for mode in [0, MULTI_NODE_SINGLE_WRITER, MULTI_NODE_MULTI_WRITER, 99] {
            let access = access.clone().mode(mode);
            let create = Create::new("x", 32 * MIB).access(access);
            node.refused(&Call::Create(create), "INVALID_ARGUMENT")
                .unwrap();
        }
    }
    assert_eq!(node.lvs().unwrap(), ["fairlead-pool"]);
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn several_writers_of_a_node_see_what_the_others_write_and_each_may_go() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let access = Access::mount("ext4").mode(SINGLE_NODE_MULTI_WRITER);
    let create = Create::new("a", 64 * MIB).access(access.clone());
    let volume = node.make(&Call::Create(create)).unwrap();
    let one = Place::new(&volume.id, access);
    let two = one.clone().target(&format!("{}-2", one.target));
    let three = one.clone().target(&format!("{}-3", one.target)).read_only();
    node.attach(&one).unwrap();
    node.all(&[Call::Publish(two.clone()), Call::Publish(three.clone())])
        .unwrap();
    let script = format!(
        "echo 1 >{0}/f && [ $(cat {1}/f) = 1 ] && echo 2 >{1}/f && [ $(cat {0}/f) = 2 ] && [ $(cat {2}/f) = 2 ] && \
         ! touch {2}/f 2>/dev/null",
        one.target, two.target, three.target
    );
    node.run(&script).unwrap();
    node.call(&Call::Unpublish(one.clone())).unwrap();
    // Others have it still.
    node.refused(&Call::Delete(volume.id.clone()), "FAILED_PRECONDITION")
        .unwrap();
    node.run(&format!("[ $(cat {}/f) = 2 ]", two.target))
        .unwrap();
    node.all(&[Call::Unpublish(two), Call::Unpublish(three)])
        .unwrap();
    node.detach(&one).unwrap();
    node.call(&Call::Delete(volume.id)).unwrap();
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_is_staged_is_not_staged_otherwise_and_needs_its_stage_to_be_published() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let access = Access::mount("ext4");
    let create = Create::new("a", 64 * MIB).access(access.clone());
    let volume = node.make(&Call::Create(create)).unwrap();
    let place = Place::new(&volume.id, access.clone());
    let words = node.refused(&Call::Publish(place.clone()), "FAILED_PRECONDITION");
    assert!(words.unwrap().contains("stage it first"));
    let unstaged = Place {
        staging: String::new(),
        ..place.clone()
    };
    node.refused(&Call::Publish(unstaged), "FAILED_PRECONDITION")
        .unwrap();
    node.attach(&place).unwrap();
    for other in [
        access.clone().mode(SINGLE_NODE_READER_ONLY),
        Access::block(),
    ] {
        let other = Place {
            access: other,
            ..place.clone()
        };
        node.refused(&Call::Stage(other), "ALREADY_EXISTS").unwrap();
    }
    // Unstaging while it is published is refused, not forced.
    node.refused(&Call::Unstage(place.clone()), "FAILED_PRECONDITION")
        .unwrap();
    node.run(&format!("touch {}/x", place.target)).unwrap();
    node.detach(&place).unwrap();
    node.call(&Call::Delete(volume.id)).unwrap();
    node.assert_sound().unwrap();
}
