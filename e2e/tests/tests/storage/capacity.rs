//! `GetCapacity` is true: a volume of exactly the largest size that it tells can be made, one extent more
//! cannot.

use std::fmt::Write;

use fairlead_e2e_tests::storage::{Access, Answer, Call, Create, Disks, Node, Setup, parameters};
use fairlead_e2e_vm::MIB;
use fastrand::Rng;

const EXTENT: u64 = 4 * MIB;

type Words = &'static [(&'static str, &'static str)];

fn create(name: &str, bytes: u64, words: Words) -> Call {
    let create = Create::new(name, bytes).access(Access::block());
    let with = |create: Create, (key, value): &(&str, &str)| create.parameter(key, value);
    Call::Create(words.iter().fold(create, with))
}

fn largest(node: &Node, words: Words) -> u64 {
    let answer = node.call(&Call::Capacity(parameters(words))).unwrap();
    let Answer::Capacity(_, Some(largest)) = answer else {
        panic!("{words:?}: {answer:?}");
    };
    u64::try_from(largest).unwrap()
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn a_thin_pool_promises_what_is_told_before_it_is_made_and_after() {
    let disks = Disks::new(&[512 * MIB, 512 * MIB]).unwrap();
    let node = Node::boot(&disks, &Setup::default()).unwrap();
    let told = largest(&node, &[]);
    let more = node.refused(&create("more", told + EXTENT, &[]), "RESOURCE_EXHAUSTED");
    let text = more.unwrap();
    assert!(text.contains("than the thin pool may promise"), "{text}");
    assert!(
        node.lvs().unwrap().is_empty(),
        "a refused call makes no pool"
    );
    assert_eq!(largest(&node, &[]), told);
    let whole = node.make(&create("whole", told, &[])).unwrap();
    assert_eq!(largest(&node, &[]), 0);
    node.refused(&create("one", EXTENT, &[]), "RESOURCE_EXHAUSTED")
        .unwrap();
    node.call(&Call::Delete(whole.id)).unwrap();
    assert_eq!(largest(&node, &[]), told);
    node.assert_sound().unwrap();
}

/// Layouts of thick volumes, with the extents that sizes are multiples of.
const THICK: &[(Words, u64)] = &[
    (&[("thin", "false")], 1),
    (&[("thin", "false"), ("encryption", "luks2")], 1),
    (&[("stripes", "2")], 2),
    (&[("stripes", "3")], 3),
    (&[("raid", "raid1")], 1),
    (&[("raid", "raid5")], 2),
];

/// With sums: the kernel of user-mode-linux hangs or ends now and then while LVM makes these.
const SUMS: &[(Words, u64)] = &[
    (&[("raid", "raid1"), ("integrity", "true")], 1),
    (&[("raid", "raid5"), ("integrity", "true")], 2),
];

const DISKS: usize = 5;

/// A volume group of random disks with random gaps; the size of its extents. `disks` is how the machine's begin.
fn random_group(node: &Node, disks: &str, random: &mut Rng) -> u64 {
    let extent = if random.bool() { EXTENT } else { MIB };
    let mut script = format!("vgremove -q -ff -y data 2>/dev/null || true; wipefs -qa {disks}?\n");
    let mut devices = String::new();
    let (mut taken, mut extents) = (String::new(), 0);
    for letter in ('a'..).take(random.usize(1..=DISKS)) {
        let size = random.u64(24..100);
        let device = format!("{disks}{letter}");
        let _ = writeln!(
            script,
            "pvcreate -q -y --metadatasize 1m --setphysicalvolumesize {size}m {device}"
        );
        let _ = write!(devices, " {device}");
        let all = (size - 8) * MIB / extent;
        let mut at = 0;
        for _ in 0..random.u32(0..4) {
            let first = at + random.u64(0..=all / 3);
            let last = first + random.u64(0..=all / 8);
            if last >= all {
                break;
            }
            let _ = write!(taken, " {device}:{first}-{last}");
            extents += last - first + 1;
            at = last + 2;
        }
    }
    let _ = writeln!(script, "vgcreate -q -s {extent}b data {devices}");
    if extents > 0 {
        let _ = writeln!(
            script,
            "lvcreate -q -y -an -Wn -Zn -n taken -l {extents} data {taken}"
        );
    }
    node.run(&script).unwrap();
    extent
}

/// One extent more than is told is refused, as much as is told is made; nothing of it is left.
fn assert_told_is_true(node: &Node, words: Words, step: u64, about: &str) {
    let told = largest(node, words);
    assert_eq!(told % step, 0, "{about}: {told} bytes are told");
    let kept = |line: &String| line.starts_with("vol-");
    let results = node.calls(&[create("more", told + step, words)]).unwrap();
    let code = results[0]
        .as_ref()
        .err()
        .map(|refused| refused.code.clone());
    assert_eq!(
        code.as_deref(),
        Some("RESOURCE_EXHAUSTED"),
        "{about}: {told} bytes are told, one step more gives {results:?}"
    );
    assert!(!node.lvs().unwrap().iter().any(kept), "{about}");
    if told == 0 {
        return;
    }
    let whole = node.try_call(&create("whole", told, words)).unwrap();
    let Ok(Answer::One(whole)) = whole else {
        panic!(
            "{about}: {told} bytes are told, and refused: {whole:?}\n{}",
            node.explain()
        );
    };
    node.call(&Call::Delete(whole.id)).unwrap();
    assert!(!node.lvs().unwrap().iter().any(kept), "{about}");
}

/// Two groups, the same each time; `make conformance` tries 40 others.
fn on_random_disks(layouts: &[(Words, u64)], setup: &Setup) {
    let groups = std::env::var("FAIRLEAD_GROUPS").map_or(2, |text| text.parse().unwrap());
    let seed = match std::env::var("FAIRLEAD_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) if groups == 2 => 1,
        Err(_) => fastrand::u64(..),
    };
    let mut random = Rng::with_seed(seed);
    let disks = Disks::new(&[100 * MIB; DISKS]).unwrap();
    let names = if setup.host {
        disks.leave_bare();
        "/dev/vd"
    } else {
        "/dev/ubd"
    };
    let node = Node::boot(&disks, setup).unwrap();
    for group in 0..groups {
        let extent = random_group(&node, names, &mut random);
        let about = |words: Words| format!("seed {seed}, group {group}, {words:?}");
        for (words, granularity) in layouts {
            assert_told_is_true(&node, words, extent * granularity, &about(words));
        }
        // From now on there is a pool, and room that is kept for it.
        assert_told_is_true(&node, &[], extent, &about(&[]));
        let (words, granularity) = layouts[random.usize(..layouts.len())];
        assert_told_is_true(&node, words, extent * granularity, &about(words));
    }
    node.assert_sound().unwrap();
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn on_random_disks_every_layout_holds_what_is_told_and_not_one_extent_more() {
    on_random_disks(THICK, &Setup::default());
}

#[test]
#[ignore = "boots a virtual machine: run by make conformance"]
fn sums_have_their_room_too_on_the_kernel_of_a_host() {
    let setup = Setup {
        host: true,
        ..Setup::default()
    };
    on_random_disks(SUMS, &setup);
}
