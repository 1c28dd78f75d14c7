//! Bad input: the specification's code, words that name what is wrong, and nothing half-made.

use std::collections::BTreeSet;

use fairlead_e2e_tests::storage::{Access, Call, Create, Disks, Node, Place, Setup};
use fairlead_e2e_vm::{GIB, MIB};

type Words = &'static [(&'static str, &'static str)];

const POOL: &str = "fairlead-pool";

fn block(name: &str) -> Create {
    Create::new(name, 16 * MIB).access(Access::block())
}

fn node(disks: &Disks) -> Node {
    Node::boot(disks, &Setup::default()).unwrap()
}

/// A call, the code that it must end with, and what the words must name.
type Case = (Call, &'static str, Vec<String>);

fn case(call: Call, code: &'static str, names: &[&str]) -> Case {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    (call, code, names)
}

/// Makes all calls; each is refused as it must be, and the volume group stays as it is.
fn refused(node: &Node, cases: &[Case]) {
    let before = node.lvs().unwrap();
    let calls: Vec<Call> = cases.iter().map(|(call, ..)| call.clone()).collect();
    for ((call, code, names), result) in cases.iter().zip(node.calls(&calls).unwrap()) {
        let refused = result.unwrap_err();
        assert_eq!(refused.code, *code, "{call:?}: {}", refused.message);
        for name in names {
            assert!(
                refused.message.contains(name),
                "{name} is not in: {refused}"
            );
        }
    }
    assert_eq!(node.lvs().unwrap(), before, "after {calls:#?}");
}

/// 128 bytes each, with all that a codec can trip over.
fn names() -> Vec<String> {
    let filled = |unit: &str| unit.repeat(128 / unit.len());
    let mut names: Vec<String> = [
        "/", "é", "漢a", "😀", " ", "\"", "\\", "#", "-", ".", "%00", "&|;$`*?~",
    ]
    .iter()
    .map(|unit| filled(unit))
    .collect();
    for short in [
        "a b",
        "a#20b",
        "a+b",
        "snapshot",
        "x_tdata",
        "/dev/data/x",
        "é",
        "e\u{301}",
    ] {
        names.push(short.to_owned());
    }
    names
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn any_name_of_128_bytes_names_one_volume_and_one_snapshot() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = node(&disks);
    let names = names();
    let creates: Vec<Call> = names.iter().map(|name| Call::Create(block(name))).collect();
    let volumes = node.all(&creates).unwrap();
    assert_eq!(node.all(&creates).unwrap(), volumes, "asked twice");
    let (listed, _) = node.listed().unwrap();
    let ids: BTreeSet<&str> = listed.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(ids.len(), names.len());
    let snapshots: Vec<Call> = names
        .iter()
        .map(|name| Call::snapshot(name, &listed[0].id))
        .collect();
    let made = node.all(&snapshots).unwrap();
    assert_eq!(node.all(&snapshots).unwrap(), made, "asked twice");
    let (_, made) = node.listed().unwrap();
    assert_eq!(made.len(), names.len());
    let mut cases = vec![case(
        Call::Create(block("inline:x")),
        "INVALID_ARGUMENT",
        &["inline:x"],
    )];
    for (name, names) in [
        (String::new(), "name is missing"),
        ("a".repeat(129), "129 bytes"),
        ("é".repeat(65), "130 bytes"),
        ("a\tb".to_owned(), "control character"),
        ("a\u{7f}".to_owned(), "control character"),
        ("a\u{85}".to_owned(), "control character"),
    ] {
        let snapshot = Call::snapshot(&name, &listed[0].id);
        for call in [Call::Create(block(&name)), snapshot] {
            cases.push(case(call, "INVALID_ARGUMENT", &[names]));
        }
    }
    refused(&node, &cases);
    let mut deletes: Vec<Call> = made
        .into_iter()
        .map(|it| Call::DeleteSnapshot(it.id))
        .collect();
    deletes.extend(listed.into_iter().map(|it| Call::Delete(it.id)));
    node.all(&deletes).unwrap();
    assert_eq!(node.lvs().unwrap(), [POOL]);
    node.assert_sound().unwrap();
}

const STEP: i64 = 4 << 20;

/// Least and most bytes, the code, and what is named.
const SIZES: &[(i64, i64, &str, [&str; 2])] = &[
    (0, 0, "INVALID_ARGUMENT", ["required_bytes", "limit_bytes"]),
    (
        -1,
        0,
        "INVALID_ARGUMENT",
        ["required_bytes -1", "0 (nothing said) or more"],
    ),
    (
        1,
        -1,
        "INVALID_ARGUMENT",
        ["limit_bytes -1", "0 (nothing said) or more"],
    ),
    (
        i64::MIN,
        i64::MIN,
        "INVALID_ARGUMENT",
        ["required_bytes", "negative"],
    ),
    (
        2 * STEP,
        STEP,
        "OUT_OF_RANGE",
        ["limit_bytes 4194304", "required_bytes 8388608"],
    ),
    (
        STEP + 1,
        STEP + 2,
        "OUT_OF_RANGE",
        ["limit_bytes 4194306", "8388608 bytes"],
    ),
    (1, 1, "OUT_OF_RANGE", ["limit_bytes 1", "4194304 bytes"]),
    (
        i64::MAX,
        0,
        "OUT_OF_RANGE",
        ["9223372036854775807", "at most"],
    ),
];

fn sized(bytes: i64, limit: i64) -> Create {
    Create {
        bytes,
        limit,
        ..block("sized")
    }
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn sizes_that_cannot_be_are_refused() {
    let disks = Disks::new(&[3 * GIB]).unwrap();
    let node = node(&disks);
    let mut cases = Vec::new();
    for (bytes, limit, code, names) in SIZES {
        for create in [sized(*bytes, *limit), sized(*bytes, *limit).thick()] {
            cases.push(case(Call::Create(create), code, names));
        }
    }
    for (create, names) in [
        (sized(1 << 40, 0), ["1099511627776", "bytes are left"]),
        (
            sized(1 << 40, 0).thick(),
            ["1099511627776", "bytes at most"],
        ),
        (
            sized(STEP, 0).parameter("raid", "raid1"),
            ["4194304", "two disks"],
        ),
        (
            sized(2 * STEP, 0).parameter("stripes", "2"),
            ["8388608", "2 stripes"],
        ),
    ] {
        cases.push(case(Call::Create(create), "RESOURCE_EXHAUSTED", &names));
    }
    let small = Create::new("small", 16 * MIB)
        .access(Access::mount("xfs"))
        .limit(64 * MIB);
    let names = ["limit_bytes 67108864", "file system"];
    cases.push(case(Call::Create(small), "OUT_OF_RANGE", &names));
    refused(&node, &cases);
    assert!(node.lvs().unwrap().is_empty(), "no pool for nothing");
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn sizes_between_extents_are_rounded_up_and_growth_that_cannot_be_changes_nothing() {
    let disks = Disks::new(&[3 * GIB]).unwrap();
    let node = node(&disks);
    for (create, bytes) in [(sized(STEP + 1, 0), 2 * STEP), (sized(1, 0).thick(), STEP)] {
        let volume = node.make(&Call::Create(create)).unwrap();
        assert_eq!(volume.bytes, bytes);
        let place = Place::new(&volume.id, Access::block());
        let expand = |bytes| Call::Expand {
            place: place.clone(),
            bytes,
        };
        let cases = [
            case(expand(1 << 40), "RESOURCE_EXHAUSTED", &["bytes"]),
            case(expand(u64::MAX), "OUT_OF_RANGE", &["9223372036854775807"]),
            case(expand(0), "INVALID_ARGUMENT", &["required_bytes"]),
        ];
        refused(&node, &cases);
        assert_eq!(node.listed().unwrap().0[0].bytes, bytes, "not grown");
        node.call(&Call::Delete(volume.id)).unwrap();
    }
    node.assert_sound().unwrap();
}

/// Parameters, the code, and what is named: key and value, and what is allowed.
const PARAMETERS: &[(Words, &str, [&str; 2])] = &[
    (
        &[("colour", "red")],
        "INVALID_ARGUMENT",
        ["colour \"red\"", "mkfsOptions"],
    ),
    (
        &[("thin", "yes")],
        "INVALID_ARGUMENT",
        ["thin \"yes\"", "true or false"],
    ),
    (
        &[("fs", "ntfs")],
        "INVALID_ARGUMENT",
        ["fs \"ntfs\"", "ext4, xfs or btrfs"],
    ),
    (
        &[("thin", "true"), ("raid", "raid1")],
        "INVALID_ARGUMENT",
        ["raid \"raid1\"", "set thin to false"],
    ),
    (
        &[("thin", "false"), ("pool", "p")],
        "INVALID_ARGUMENT",
        ["pool \"p\"", "set thin to true"],
    ),
    (
        &[("class", "default"), ("vg", "data")],
        "INVALID_ARGUMENT",
        ["vg \"data\"", "not both"],
    ),
    (
        &[("class", "gold")],
        "INVALID_ARGUMENT",
        ["class \"gold\"", "default, ghost"],
    ),
    (
        &[("vg", "other")],
        "INVALID_ARGUMENT",
        ["vg \"other\"", "data"],
    ),
    (
        &[("mkfsOptions", "-F /dev/sda")],
        "INVALID_ARGUMENT",
        ["mkfsOptions", "no '/'"],
    ),
    // Configured, and not there: nobody can know what is in it.
    (
        &[("class", "ghost")],
        "UNAVAILABLE",
        ["volume group", "nowhere"],
    ),
];

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn parameters_that_are_unknown_or_contradict_are_named_with_what_is_allowed() {
    let disks = Disks::new(&[3 * GIB]).unwrap();
    let ghost = "{name: ghost, vg: nowhere}".to_owned();
    let setup = Setup {
        classes: vec!["{name: default, vg: data}".to_owned(), ghost],
        ..Setup::default()
    };
    let node = Node::boot(&disks, &setup).unwrap();
    let made = node.make(&Call::Create(block("made"))).unwrap();
    let mut cases = Vec::new();
    for (words, code, names) in PARAMETERS {
        let with = |create: Create, (key, value): &(&str, &str)| create.parameter(key, value);
        let create = words.iter().fold(block("x"), with);
        cases.push(case(Call::Capacity(create.parameters.clone()), code, names));
        cases.push(case(Call::Create(create), code, names));
    }
    // A pool that stands is as it is.
    for (key, value, is) in [("chunk", "1Mi", "64Ki"), ("whenFull", "error", "queue")] {
        let create = Call::Create(block("x").parameter(key, value));
        cases.push(case(
            create,
            "INVALID_ARGUMENT",
            &[&format!("{key} {value:?}"), is],
        ));
    }
    // The name is taken by another shape.
    for other in [
        Create::new("made", 32 * MIB).access(Access::block()),
        block("made").thick(),
        block("made").access(Access::mount("ext4")),
        block("made").clone_of(&made.id),
    ] {
        cases.push(case(Call::Create(other), "ALREADY_EXISTS", &["made"]));
    }
    let snapshot = Call::Snapshot {
        name: "s".to_owned(),
        volume: made.id,
        parameters: [("depth".to_owned(), "9".to_owned())].into(),
    };
    cases.push(case(
        snapshot,
        "INVALID_ARGUMENT",
        &["depth \"9\"", "size is known"],
    ));
    refused(&node, &cases);
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn ids_that_name_nothing_end_as_the_specification_says() {
    let disks = Disks::new(&[GIB]).unwrap();
    let node = node(&disks);
    let real = node.make(&Call::Create(block("real"))).unwrap().id;
    let absent = format!("{}zzzzzz", &real[..real.len() - 6]);
    let elsewhere = format!("zzzzzz{}", &real[6..]);
    let malformed = ["vol-1", &real[1..], &"é".repeat(64), &format!("{real}\0")].map(str::to_owned);
    let mut cases = Vec::new();
    let mut done = Vec::new();
    for id in malformed.iter().chain([&absent]) {
        cases.extend(used(id).map(|call| case(call, "NOT_FOUND", &[])));
        done.extend(ended(id));
    }
    // In a volume group that is not here now: nobody says that it does not exist.
    cases.extend(used(&elsewhere).map(|call| case(call, "UNAVAILABLE", &[])));
    cases.push(case(Call::Delete(elsewhere), "UNAVAILABLE", &[]));
    let empty = used("").into_iter().chain(ended(""));
    cases.extend(empty.map(|call| case(call, "INVALID_ARGUMENT", &["missing"])));
    for snapshots in [false, true] {
        let page = |token: &str, most| Call::Page {
            snapshots,
            token: token.to_owned(),
            most,
        };
        let names = ["starting_token \"x\"", "without a token"];
        cases.push(case(page("x", 0), "ABORTED", &names));
        cases.push(case(page("", -1), "INVALID_ARGUMENT", &["max_entries -1"]));
        // A token whose entry is gone is a token.
        done.push(page(&absent, 0));
    }
    refused(&node, &cases);
    node.all(&done).unwrap();
    node.call(&Call::Delete(real)).unwrap();
    assert_eq!(node.lvs().unwrap(), [POOL]);
}

fn nowhere(id: &str) -> Place {
    Place {
        staging: "/run/places/x/staging".to_owned(),
        target: "/run/places/x/target".to_owned(),
        ..Place::new(id, Access::block())
    }
}

/// What needs the volume or snapshot.
fn used(id: &str) -> [Call; 8] {
    let (place, bytes) = (nowhere(id), MIB);
    [
        Call::Stage(place.clone()),
        Call::Publish(place.clone()),
        Call::Stats(place.clone()),
        Call::Expand {
            place: place.clone(),
            bytes,
        },
        Call::NodeExpand { place, bytes },
        Call::snapshot("s", id),
        Call::Create(block("x").restore(id)),
        Call::Create(block("x").clone_of(id)),
    ]
}

/// What is done already when it does not exist.
fn ended(id: &str) -> [Call; 4] {
    [
        Call::Unpublish(nowhere(id)),
        Call::Unstage(nowhere(id)),
        Call::Delete(id.to_owned()),
        Call::DeleteSnapshot(id.to_owned()),
    ]
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_device_that_somebody_else_has_written_to_is_left_as_it_is() {
    let disks = Disks::new(&[3 * GIB]).unwrap();
    let node = node(&disks);
    let access = Access::mount("ext4");
    for thin in ["true", "false"] {
        let create = Create::new(thin, 64 * MIB)
            .access(access.clone())
            .parameter("thin", thin);
        let volume = node.make(&Call::Create(create)).unwrap();
        let script = "lvs --noheadings -o lv_path,lv_tags data | awk '/fl.n=/ { print $1 }'";
        let lv = node.run(script).unwrap();
        let lv = lv.trim();
        let sum = |before: &str| {
            let script = format!(
                "lvchange -q -ay -K {lv} && {before} && md5sum <{lv} && lvchange -q -an {lv}"
            );
            node.run(&script).unwrap()
        };
        let written = sum(&format!("mkswap {lv} >&2"));
        let stage = Call::Stage(Place::new(&volume.id, access.clone()));
        let names = ["swap", "delete the volume"];
        refused(&node, &[case(stage, "FAILED_PRECONDITION", &names)]);
        let shown = node
            .run(&format!("lvs --noheadings -o lv_active,lv_tags {lv}"))
            .unwrap();
        assert!(
            !shown.contains("active") && shown.contains("fl.fs=none"),
            "{shown}"
        );
        assert_eq!(sum("true"), written);
        node.call(&Call::Delete(volume.id)).unwrap();
    }
    node.assert_sound().unwrap();
}
