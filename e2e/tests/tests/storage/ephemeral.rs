//! Volumes that live as long as their pod: made by publishing, removed by its end, whatever dies between.

use fairlead_e2e_tests::storage::{Access, Call, Disks, Node, Place, Setup};
use fairlead_e2e_vm::GIB;

const KEY: &str = "Kq7-a-passphrase-of-the-tests";

fn on() -> Setup {
    Setup {
        more: "ephemeral: {enabled: true}\n".to_owned(),
        supervised: true,
        ..Setup::default()
    }
}

fn inline(id: &str, access: Access, context: &[(&str, &str)]) -> Place {
    Place::new(id, access).inline(context)
}

fn write(place: &Place) -> Call {
    Call::Write {
        place: place.clone(),
        part: 1,
        seed: 3,
    }
}

fn check(place: &Place) -> Call {
    Call::Check {
        place: place.clone(),
        part: 1,
        seed: 3,
    }
}

/// The driver dies, and is started again.
fn die(node: &Node) {
    node.run("kill -9 $(pgrep -ox fairlead-csi)").unwrap();
    node.wait_until_ready().unwrap();
}

fn assert_nothing_left(node: &Node) {
    assert_eq!(node.lvs().unwrap(), ["fairlead-pool"]);
    assert_eq!(node.listed().unwrap(), (Vec::new(), Vec::new()));
    assert_eq!(node.run("ls /run/fairlead/csi/inline").unwrap(), "");
    assert_eq!(
        node.run("grep -c /places/ /proc/mounts || true").unwrap(),
        "0\n"
    );
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn an_inline_volume_is_made_once_and_removed_once_also_when_the_driver_dies_between() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &on()).unwrap();
    for (id, access) in [
        ("csi-mount", Access::mount("ext4")),
        ("csi-block", Access::block()),
    ] {
        let place = inline(id, access, &[("size", "64Mi")]);
        let publish = Call::Publish(place.clone());
        node.all(&[publish.clone(), write(&place)]).unwrap();
        node.all(&[publish.clone(), check(&place)]).unwrap();
        assert_eq!(node.lvs().unwrap().len(), 2, "{id}: asked twice");
        die(&node);
        node.all(&[publish, check(&place)]).unwrap();
        assert_eq!(
            node.lvs().unwrap().len(),
            2,
            "{id}: asked again after a crash"
        );
        die(&node);
        let unpublish = Call::Unpublish(place);
        node.call(&unpublish).unwrap();
        assert_nothing_left(&node);
        die(&node);
        node.call(&unpublish).unwrap();
        assert_nothing_left(&node);
    }
    // A node that loses its power while the pod runs: the kubelet unpublishes what it does not know any more.
    let place = inline("csi-power", Access::mount("xfs"), &[("size", "320Mi")]);
    node.all(&[Call::Publish(place.clone()), write(&place)])
        .unwrap();
    node.kill().unwrap();
    let node = Node::boot(&disks, &on()).unwrap();
    node.run("mkdir -p /run/fairlead/csi/inline").unwrap();
    let unpublish = Call::Unpublish(place);
    node.all(&[unpublish.clone(), unpublish]).unwrap();
    assert_nothing_left(&node);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn an_inline_volume_that_cannot_be_published_is_not_left_behind() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &on()).unwrap();
    let good = inline("csi-good", Access::mount("ext4"), &[("size", "64Mi")]);
    node.call(&Call::Publish(good.clone())).unwrap();
    let ext4 = || Access::mount("ext4");
    let encrypted = [("size", "64Mi"), ("encryption", "luks2")];
    for (access, context, code, names) in [
        (
            ext4(),
            &[("size", "big")][..],
            "INVALID_ARGUMENT",
            "size \"big\"",
        ),
        (
            ext4(),
            &[("colour", "red")],
            "INVALID_ARGUMENT",
            "colour \"red\"",
        ),
        (
            ext4(),
            &[("size", "1Ti")],
            "RESOURCE_EXHAUSTED",
            "1099511627776",
        ),
        (ext4(), &encrypted, "INVALID_ARGUMENT", "passphrase"),
        (
            ext4().flag("dev=/dev/sda"),
            &[("size", "64Mi")],
            "INTERNAL",
            "dev=",
        ),
    ] {
        let place = inline("csi-bad", access, context);
        let why = node.refused(&Call::Publish(place.clone()), code).unwrap();
        assert!(why.contains(names), "{why}");
        assert_eq!(
            node.lvs().unwrap().len(),
            2,
            "{context:?}: {:#?}",
            node.lvs()
        );
        node.call(&Call::Unpublish(place)).unwrap();
    }
    let place = inline("csi-secret", ext4(), &encrypted).secret("passphrase", KEY);
    node.all(&[Call::Publish(place.clone()), write(&place), check(&place)])
        .unwrap();
    let open = node.run("dmsetup ls --target crypt | wc -l").unwrap();
    assert_eq!(open, "1\n", "encrypted devices that are open");
    node.all(&[Call::Unpublish(place), Call::Unpublish(good)])
        .unwrap();
    assert_nothing_left(&node);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn inline_volumes_are_off_unless_they_are_turned_on() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let place = inline("csi-off", Access::mount("ext4"), &[("size", "64Mi")]);
    let why = node.refused(&Call::Publish(place.clone()), "INVALID_ARGUMENT");
    let why = why.unwrap();
    assert!(why.contains("ephemeral.enabled"), "{why}");
    node.call(&Call::Unpublish(place)).unwrap();
    assert_eq!(node.lvs().unwrap(), Vec::<String>::new());
}
