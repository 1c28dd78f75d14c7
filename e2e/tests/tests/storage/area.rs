//! LVM's metadata area: how many volumes fit, the warning before it fills, the refusal before LVM is asked.

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Create, Disks, METADATA, Node, Place, Setup,
};
use fairlead_e2e_vm::{GIB, MIB};

/// What docs/storage.md says that a volume takes.
const USUAL: u64 = 560;
/// Calls of one client.
const AT_ONCE: usize = 100;

/// A node with a metadata area of that size, as pvcreate takes it.
fn node(disks: &Disks, area: &str) -> Node {
    disks.leave_bare();
    let setup = Setup {
        classes: vec!["{name: default, vg: data, overprovision: 100}".to_owned()],
        ..Setup::default()
    };
    let node = Node::boot_without_driver(disks, &setup).unwrap();
    node.run(&format!(
        "pvcreate -q --metadatasize {area} --dataalignment 64k /dev/ubda && vgcreate -q data /dev/ubda"
    ))
    .unwrap();
    node.start_driver().unwrap();
    node.wait_until_ready().unwrap();
    node
}

fn create(number: usize) -> Call {
    let create = Create::new(
        &format!("pvc-00000000-0000-0000-0000-{number:012}"),
        4 * MIB,
    );
    Call::Create(create.access(Access::block()))
}

/// What the area holds and can hold, by the driver's metrics.
fn area(node: &Node) -> (u64, u64) {
    let number = |name: &str| -> u64 {
        let script = format!(
            "exec 3<>/dev/tcp/127.0.0.1/9478; printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' >&3; \
             grep '^fairlead_csi_group_{name}{{' <&3"
        );
        let line = node.run(&script).unwrap();
        line.split_whitespace().last().unwrap().parse().unwrap()
    };
    (
        number("metadata_area_used_bytes"),
        number("metadata_area_bytes"),
    )
}

fn health(node: &Node) -> Vec<String> {
    match node.call(&Call::StorageHealth).unwrap() {
        Answer::Names(reasons) => reasons,
        other => panic!("{other:?}"),
    }
}

/// Makes volumes until one is refused; their ids, and the refusal.
fn fill(node: &Node, most: usize) -> (Vec<String>, Option<(String, String)>) {
    let mut ids = Vec::new();
    while ids.len() < most {
        let until = (ids.len() + AT_ONCE).min(most);
        let calls: Vec<Call> = (ids.len()..until).map(create).collect();
        for result in node.calls(&calls).unwrap() {
            match result {
                Ok(Answer::One(told)) => ids.push(told.id),
                Ok(other) => panic!("{other:?}"),
                Err(refused) => return (ids, Some((refused.code, refused.message))),
            }
        }
    }
    (ids, None)
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn an_area_that_fills_is_told_first_and_then_refused_while_all_else_goes_on() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = node(&disks, "64k");
    let (first, _) = fill(&node, 1);
    let (used, size) = area(&node);
    assert_eq!(health(&node), Vec::<String>::new());
    let (ids, refused) = fill(&node, usize::MAX);
    let (code, words) = refused.unwrap();
    assert_eq!(code, "RESOURCE_EXHAUSTED", "{words}");
    assert!(
        words.starts_with("the volume group's metadata area is full"),
        "{words}"
    );
    let (full, _) = area(&node);
    let more = u64::try_from(ids.len() - first.len()).unwrap();
    let each = (full - used) / more;
    assert!(
        each <= USUAL,
        "a volume takes {each} bytes, {USUAL} are told"
    );
    let promised = (size * 95 / 100 - used) / USUAL;
    assert!(
        more >= promised,
        "{more} volumes more fit, {promised} are told"
    );
    assert_eq!(health(&node), ["MetadataAreaNearlyFull"]);
    // LVM itself has room for what comes with the life of these volumes.
    let snapshot = Call::snapshot("s", &ids[0]);
    node.refused(&snapshot, "RESOURCE_EXHAUSTED").unwrap();
    let place = Place::new(&ids[0], Access::block());
    node.attach(&place).unwrap();
    node.detach(&place).unwrap();
    let deletes: Vec<Call> = ids
        .iter()
        .cloned()
        .map(Call::Delete)
        .take(ids.len() / 2)
        .collect();
    node.all(&deletes).unwrap();
    assert_eq!(health(&node), Vec::<String>::new());
    node.make(&create(usize::from(u16::MAX))).unwrap();
    node.assert_sound().unwrap();
}

/// 50 volumes; `make conformance` sets `FAIRLEAD_VOLUMES=4000`.
#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn as_many_volumes_as_are_told_fit_the_area_that_is_advised() {
    let wanted = std::env::var("FAIRLEAD_VOLUMES").map_or(50, |text| text.parse().unwrap());
    let disks = Disks::new(&[8 * GIB]).unwrap();
    let node = node(&disks, METADATA);
    let (before, size) = area(&node);
    let (ids, refused) = fill(&node, wanted);
    assert_eq!(refused, None);
    assert_eq!(ids.len(), wanted);
    let (used, _) = area(&node);
    let volumes = u64::try_from(wanted).unwrap();
    // The pool and its parts come with the first one.
    let each = used.saturating_sub(before + 2048) / volumes;
    assert!(
        each <= USUAL,
        "a volume takes {each} bytes, {USUAL} are told"
    );
    assert!(
        size * 95 / 100 / USUAL > 14_000,
        "{METADATA} holds {size} bytes"
    );
    node.assert_sound().unwrap();
}
