//! Changed blocks over the driver's socket, against the bytes of the snapshots.

use fairlead_e2e_tests::storage::{
    Access, Answer, Call, Changed, Create, Disks, Node, Place, Setup, Told, VG,
};
use fairlead_e2e_vm::{GIB, MIB};

const SIZE: u64 = 48 * MIB;

fn ranges(answer: Answer, capacity: i64) -> Vec<Vec<(i64, i64)>> {
    match answer {
        Answer::Ranges(bytes, messages) if bytes == capacity => messages,
        other => panic!("{other:?}"),
    }
}

fn ask(base: Option<&Told>, target: &Told, start: i64, most: i32) -> Call {
    Call::Changed(Changed {
        base: base.map(|base| base.id.clone()),
        target: target.id.clone(),
        start,
        most,
    })
}

fn told(node: &Node, base: Option<&Told>, target: &Told) -> Vec<(i64, i64)> {
    let answer = node.call(&ask(base, target, 0, 0)).unwrap();
    ranges(answer, target.bytes).concat()
}

/// A volume with the contents of a snapshot, published.
fn restored(node: &Node, name: &str, snapshot: &Told, create: &Create) -> Place {
    let create = Create {
        name: name.to_owned(),
        ..create.clone().restore(&snapshot.id)
    };
    let volume = node.make(&Call::Create(create.clone())).unwrap();
    let place = place(&volume.id, &create);
    node.attach(&place).unwrap();
    place
}

fn place(id: &str, create: &Create) -> Place {
    let place = Place::new(id, create.access.clone());
    match create.parameters.get("encryption") {
        Some(_) => place.secret("passphrase", "x"),
        None => place,
    }
}

/// The KiB in which two files differ.
fn differing(node: &Node, one: &str, other: &str) -> Vec<i64> {
    let script =
        format!("cmp -l {one} {other} | awk '{{ print int(($1 - 1) / 1024) }}' | uniq || true");
    let text = node.run(&script).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// What an encrypted volume has before its first byte must not show in its ranges.
fn answers_are_true(node: &Node, name: &str, create: &Create) {
    let volume = node.make(&Call::Create(create.clone())).unwrap();
    let place = place(&volume.id, create);
    node.attach(&place).unwrap();
    let write = |at: u64, kib: u64| {
        let target = &place.target;
        format!(
            "dd if=/dev/urandom of={target} bs=1K seek={at} count={kib} conv=notrunc,fsync status=none"
        )
    };
    let snapshot = |nth: &str| {
        let made = node.make(&Call::snapshot(&format!("{name}-{nth}"), &volume.id));
        made.unwrap()
    };
    node.run(&format!("{}; {}", write(0, 300), write(20_000, 2000)))
        .unwrap();
    let base = snapshot("base");
    // Encrypted devices pass no discards on.
    let discard = match create.parameters.get("encryption") {
        Some(_) => String::new(),
        None => format!("; blkdiscard -f -o 20M -l 1M {}", place.target),
    };
    let writes = [write(100, 4), write(9_999, 3), write(SIZE / 1024 - 1, 1)];
    node.run(&(writes.join("; ") + &discard)).unwrap();
    let target = snapshot("target");
    node.detach(&place).unwrap();

    let changed = told(node, Some(&base), &target);
    let chunk = 64 * 1024;
    let sizes: i64 = changed.iter().map(|(_, bytes)| bytes).sum();
    assert!(sizes <= 24 * chunk, "{name}: {changed:?}");
    let last = changed.last().unwrap();
    assert_eq!(last.0 + last.1, target.bytes, "{name}: {changed:?}");
    let there = told(node, None, &target);
    assert!(there[0].0 == 0 && there.len() > 2, "{name}: {there:?}");

    let one = restored(node, &format!("{name}-one"), &base, create);
    let other = restored(node, &format!("{name}-other"), &target, create);
    let differ = differing(node, &one.target, &other.target);
    assert!(differ.len() >= 8, "{name}: {differ:?}");
    for kib in differ {
        let inside = |(start, bytes): &(i64, i64)| (*start..start + bytes).contains(&(kib * 1024));
        assert!(
            changed.iter().any(inside),
            "{name}: {kib} KiB is not in {changed:?}"
        );
    }
    for place in [one, other] {
        node.detach(&place).unwrap();
        node.call(&Call::Delete(place.id)).unwrap();
    }

    parts_are_those_of_the_whole(node, &base, &target, &changed);
    // A pool that nobody uses is active only as long as it takes to answer.
    let idle = format!("lvchange -an {VG}/fairlead-pool; dmsetup ls | grep -c tpool || true");
    assert_eq!(node.run(&idle).unwrap().trim(), "0");
    assert_eq!(told(node, Some(&base), &target), changed, "{name}");
    let left = node.run("dmsetup ls | grep -c tpool || true").unwrap();
    assert_eq!(left.trim(), "0", "{}", node.explain());
    for snapshot in [base, target] {
        node.call(&Call::DeleteSnapshot(snapshot.id)).unwrap();
    }
    node.call(&Call::Delete(volume.id)).unwrap();
}

/// In messages of one range, and from where an earlier answer broke off.
fn parts_are_those_of_the_whole(node: &Node, base: &Told, target: &Told, changed: &[(i64, i64)]) {
    let single = node.call(&ask(Some(base), target, 0, 1)).unwrap();
    let single = ranges(single, target.bytes);
    assert!(
        single.iter().all(|message| message.len() == 1),
        "{single:?}"
    );
    assert_eq!(single.concat(), changed);
    let (first, rest) = (changed[0], &changed[1..]);
    let from = node
        .call(&ask(Some(base), target, first.0 + first.1, 0))
        .unwrap();
    assert_eq!(ranges(from, target.bytes).concat(), rest);
    let end = node
        .call(&ask(Some(base), target, target.bytes, 0))
        .unwrap();
    assert_eq!(ranges(end, target.bytes), [vec![]], "the end");
    let same = told(node, Some(target), target);
    assert!(same.is_empty(), "{same:?}");
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn what_has_changed_between_snapshots_is_told_also_of_an_encrypted_volume() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let create = Create::new("plain", SIZE).access(Access::block());
    answers_are_true(&node, "plain", &create.clone().parameter("chunk", "64Ki"));
    let encrypted = Create {
        name: "luks".to_owned(),
        ..create
            .parameter("chunk", "64Ki")
            .parameter("encryption", "luks2")
    };
    answers_are_true(&node, "luks", &encrypted);
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn calls_for_changed_blocks_that_cannot_be_answered_are_refused_in_words() {
    let disks = Disks::new(&[2 * GIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let make = |name: &str, create: Create| {
        let volume = node.make(&Call::Create(create)).unwrap();
        node.make(&Call::snapshot(name, &volume.id)).unwrap()
    };
    let one = make("one", Create::new("a", SIZE).access(Access::block()));
    let other = make("other", Create::new("b", SIZE).access(Access::block()));
    let thick = make(
        "thick",
        Create::new("c", SIZE).access(Access::block()).thick(),
    );
    let missing = Told {
        id: format!("{}x", &one.id[..one.id.len() - 1]),
        ..one.clone()
    };
    let nothing = Told {
        id: String::new(),
        ..one.clone()
    };
    let words = |call: Call, code: &str| node.refused(&call, code).unwrap();
    let past = one.bytes + 1;
    assert_eq!(
        words(ask(None, &one, past, 0), "OUT_OF_RANGE"),
        format!(
            "starting_offset is {past}; 0 to {}, the snapshot's size",
            one.bytes
        )
    );
    words(ask(Some(&one), &one, -1, 0), "OUT_OF_RANGE");
    words(ask(None, &one, 0, -1), "INVALID_ARGUMENT");
    assert_eq!(
        words(ask(Some(&other), &one, 0, 0), "INVALID_ARGUMENT"),
        format!(
            "base_snapshot_id is {}; a snapshot of the volume is needed that {} is of",
            other.id, one.id
        )
    );
    assert_eq!(
        words(ask(None, &thick, 0, 0), "FAILED_PRECONDITION"),
        format!(
            "snapshot {} is of a thick volume: only thin pools know which blocks hold data or have changed",
            thick.id
        )
    );
    for call in [ask(None, &missing, 0, 0), ask(Some(&missing), &one, 0, 0)] {
        let there_is = format!("there is no snapshot {}", missing.id);
        assert_eq!(words(call, "NOT_FOUND"), there_is);
    }
    assert_eq!(
        words(ask(None, &nothing, 0, 0), "INVALID_ARGUMENT"),
        "snapshot_id is missing"
    );
    assert_eq!(
        words(ask(Some(&nothing), &one, 0, 0), "INVALID_ARGUMENT"),
        "base_snapshot_id is missing"
    );
    let empty = node.call(&ask(Some(&one), &one, 0, 0)).unwrap();
    assert_eq!(ranges(empty, one.bytes), [vec![]]);
    node.assert_sound().unwrap();
}
