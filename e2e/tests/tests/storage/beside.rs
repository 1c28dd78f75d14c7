//! An administrator's LVM commands beside the driver: its next answer is right.

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Create, Disks, Node, Place, Setup, Told, parameters,
};
use fairlead_e2e_vm::{GIB, MIB};

fn block(name: &str, bytes: u64) -> Create {
    Create::new(name, bytes).access(Access::block())
}

fn listed(node: &Node) -> Vec<String> {
    let mut ids: Vec<String> = node
        .listed()
        .unwrap()
        .0
        .into_iter()
        .map(|it| it.id)
        .collect();
    ids.sort();
    ids
}

/// The name of a volume's LV: the second half of the volume's id is the LV's UUID.
fn lv_of(node: &Node, id: &str) -> String {
    let lines = node
        .run("lvs --noheadings -o lv_uuid,lv_name data")
        .unwrap();
    let mut pairs = lines.lines().filter_map(|line| line.trim().split_once(' '));
    let found = pairs.find(|(uuid, _)| id.ends_with(&uuid.replace('-', "")));
    found.unwrap().1.to_owned()
}

/// A node whose volume group has one of its two disks.
fn one_of_two(disks: &Disks) -> Node {
    disks.leave_bare();
    let node = Node::boot_without_driver(disks, &Setup::default()).unwrap();
    let script = "pvcreate -q --metadatasize 16m /dev/ubda /dev/ubdb && vgcreate -q data /dev/ubda";
    node.run(script).unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    node
}

fn make(node: &Node, name: &str, bytes: u64) -> Told {
    node.make(&Call::Create(block(name, bytes).thick()))
        .unwrap()
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn after_lvrename_lvremove_and_vgcfgrestore_by_hand_answers_are_right() {
    let disks = Disks::new(&[GIB, GIB]).unwrap();
    let node = one_of_two(&disks);
    let (a, b) = (make(&node, "a", 64 * MIB), make(&node, "b", 64 * MIB));
    node.write_raw(&a.id, 5).unwrap();
    node.write_raw(&b.id, 6).unwrap();
    node.run("vgcfgbackup -q -f /run/saved data").unwrap();

    node.run(&format!("lvrename -q data {} by-hand", lv_of(&node, &a.id)))
        .unwrap();
    assert_eq!(make(&node, "a", 64 * MIB), a, "after lvrename");
    node.check_raw(&a.id, 5).unwrap();

    node.run(&format!("lvremove -q -y data/{}", lv_of(&node, &b.id)))
        .unwrap();
    assert_eq!(listed(&node), std::slice::from_ref(&a.id), "after lvremove");
    let stage = Call::Stage(Place::new(&b.id, Access::block()));
    node.refused(&stage, "NOT_FOUND").unwrap();

    node.run("vgcfgrestore -q -f /run/saved data").unwrap();
    let mut both = vec![a.id.clone(), b.id.clone()];
    both.sort();
    assert_eq!(listed(&node), both, "after vgcfgrestore");
    node.check_raw(&a.id, 5).unwrap();
    node.check_raw(&b.id, 6).unwrap();
    node.call(&Call::Delete(b.id)).unwrap();
    assert_eq!(listed(&node), [a.id]);
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn after_vgextend_and_vgrename_by_hand_answers_are_right() {
    let disks = Disks::new(&[GIB, GIB]).unwrap();
    let node = one_of_two(&disks);
    let a = make(&node, "a", 64 * MIB);
    node.write_raw(&a.id, 5).unwrap();
    let thick = parameters(&[("thin", "false")]);
    let capacity = || match node.call(&Call::Capacity(thick.clone())).unwrap() {
        Answer::Capacity(bytes, _) => bytes,
        other => panic!("{other:?}"),
    };
    let before = capacity();
    node.run("vgextend -q data /dev/ubdb").unwrap();
    let more = capacity() - before;
    assert!(
        more > 900 * 1024 * 1024,
        "after vgextend: {before} bytes and {more} more"
    );
    make(&node, "larger than one disk", 1200 * MIB);

    node.run("vgrename -q data renamed").unwrap();
    node.check_raw(&a.id, 5).unwrap();
    node.call(&Call::Delete(a.id)).unwrap();
    let create = Call::Create(block("c", 64 * MIB).thick());
    node.refused(&create, "UNAVAILABLE").unwrap();
    node.run("vgrename -q renamed data").unwrap();
    make(&node, "c", 64 * MIB);
    assert_eq!(listed(&node).len(), 2);
    node.assert_sound().unwrap();
}
