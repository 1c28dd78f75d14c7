use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::{MetadataArea, Pv, config};

fn lv(name: &str, id: char, extents: u64, layout: Layout) -> Lv {
    Lv {
        name: name.to_owned(),
        uuid: id.to_string().repeat(32).parse().expect("an id"),
        extents,
        tags: BTreeSet::new(),
        layout,
        visible: true,
        writable: true,
        skip_activation: false,
        created: None,
        partial: false,
        areas: Vec::new(),
        parts: Vec::new(),
    }
}

fn vg() -> Vg {
    let pv = |uuid: &str, device: &str| Pv {
        uuid: uuid.to_owned(),
        name: format!("pv-{uuid}"),
        device: Some(PathBuf::from(device)),
        extents: 1000,
        allocatable: true,
        free: std::iter::once(500..1000).collect(),
        start: 1 << 20,
        tags: BTreeSet::new(),
    };
    Vg {
        name: "data".to_owned(),
        uuid: "v".repeat(32).parse().expect("an id"),
        seqno: 1,
        extent_size: 4 << 20,
        tags: BTreeSet::new(),
        pvs: vec![pv("one", "/dev/sda"), pv("two", "/dev/mapper/b")],
        lvs: vec![
            Arc::new(lv("pool", 'p', 100, Layout::Other("x".to_owned()))),
            Arc::new(lv("vol-a", 'a', 10, Layout::Linear)),
        ],
        metadata_area: MetadataArea::default(),
    }
}

fn id(of: char) -> LvUuid {
    of.to_string().repeat(32).parse().expect("an id")
}

fn said(command: &Command) -> String {
    let words = argv(&vg(), command).expect("words");
    line(&words).expect("one line for the library")
}

#[test]
fn each_creation_is_one_command_with_its_tags() {
    let tags = BTreeSet::from(["fl.k=vol".to_owned(), "fl.n=a#20b".to_owned()]);
    let name = "vol-b".to_owned();
    let pool = Command::CreatePool {
        name: "p".to_owned(),
        extents: 100,
        metadata: 64 << 20,
        chunk: Some(128 << 10),
        when_full: WhenFull::Error,
        tags: BTreeSet::new(),
    };
    assert_eq!(
        said(&pool),
        "lvcreate -y -an -kn --type=thin-pool -l100 --poolmetadatasize=65536k -Zy \
         --chunksize=128k -n p data"
    );
    let thin = Command::CreateThin {
        name: name.clone(),
        pool: id('p'),
        extents: 256,
        tags: tags.clone(),
    };
    assert_eq!(
        said(&thin),
        "lvcreate -y -an -ky --type=thin -V1048576k --thinpool=data/pool -n vol-b \
         --addtag=fl.k=vol --addtag=fl.n=a#20b"
    );
    let snapshot = Command::Snapshot {
        of: id('a'),
        name: name.clone(),
        read_only: true,
        tags: tags.clone(),
    };
    assert_eq!(
        said(&snapshot),
        "lvcreate -y -an -ky -s -pr -n vol-b --addtag=fl.k=vol --addtag=fl.n=a#20b data/vol-a"
    );
}

#[test]
fn each_thick_creation_is_one_command() {
    let name = "vol-b".to_owned();
    let thick = |kind| Command::CreateThick {
        name: name.clone(),
        extents: 8,
        kind,
        on: vec![PvRange {
            pv: "two".to_owned(),
            start: 500,
            extents: 8,
        }],
        active: true,
        tags: BTreeSet::new(),
    };
    let start = "lvcreate -y -Wn -Zn -ky -ay -K -l8";
    let end = "-n vol-b data /dev/mapper/b:500-507";
    for (kind, words) in [
        (Kind::Linear, "--type=linear"),
        (Kind::Striped { stripes: 2 }, "--type=striped -i2"),
        (
            Kind::Raid1 {
                mirrors: 1,
                integrity: true,
            },
            "--type=raid1 -m1 --raidintegrity=y",
        ),
        (
            Kind::Raid5 {
                stripes: 2,
                integrity: false,
            },
            "--type=raid5 -i2",
        ),
    ] {
        assert_eq!(said(&thick(kind)), format!("{start} {words} {end}"));
    }
    let cow = Command::CowSnapshot {
        of: id('a'),
        name,
        extents: 5,
        tags: BTreeSet::new(),
    };
    assert_eq!(said(&cow), "lvcreate -y -kn -s -l5 -n vol-b data/vol-a");
}

#[test]
fn each_change_is_one_command() {
    let lv = id('a');
    let grown = Command::Extend {
        lv,
        to_extents: 20,
        on: vec![PvRange {
            pv: "one".to_owned(),
            start: 0,
            extents: 10,
        }],
    };
    assert_eq!(said(&grown), "lvextend -y -l20 data/vol-a /dev/sda:0-9");
    let one = |text: &str| BTreeSet::from([text.to_owned()]);
    for (command, words) in [
        (
            Command::ExtendPool {
                pool: id('p'),
                to_extents: 9,
            },
            "lvextend -y -l9 data/pool",
        ),
        (
            Command::ExtendPoolMetadata {
                pool: id('p'),
                to_extents: 3,
            },
            "lvextend -y --poolmetadatasize=12288k data/pool",
        ),
        (
            Command::SetWhenFull {
                pool: id('p'),
                when_full: WhenFull::Queue,
            },
            "lvchange -y --errorwhenfull=n data/pool",
        ),
        (
            Command::Remove {
                lvs: vec![lv, id('z'), id('p')],
            },
            "lvremove -y --select=lv_uuid=aaaaaa-aaaa-aaaa-aaaa-aaaa-aaaa-aaaaaa||\
             lv_uuid=pppppp-pppp-pppp-pppp-pppp-pppp-pppppp data/vol-a data/pool",
        ),
        (
            Command::Retag {
                lv,
                add: one("fl.fs=xfs"),
                remove: one("fl.fs=none"),
            },
            "lvchange -y --addtag=fl.fs=xfs --deltag=fl.fs=none data/vol-a",
        ),
        (
            Command::Rename {
                lv,
                to: "gone".to_owned(),
            },
            "lvrename -y data vol-a gone",
        ),
        (
            Command::SetSkipActivation { lv, skip: true },
            "lvchange -y -ky data/vol-a",
        ),
        (Command::Activate { lv }, "lvchange -y -ay -K data/vol-a"),
        (Command::Deactivate { lv }, "lvchange -y -an data/vol-a"),
        (Command::Refresh { lv }, "lvchange -y --refresh data/vol-a"),
    ] {
        assert_eq!(said(&command), words);
    }
}

#[test]
fn what_lvm_cannot_take_is_refused_in_words() {
    let refused = |command: &Command| argv(&vg(), command).expect_err("refused").to_string();
    assert_eq!(
        refused(&Command::Rename {
            lv: id('a'),
            to: "a b".to_owned()
        }),
        "name of a logical volume \"a b\": letters, digits and + _ . - are allowed, 119 of them, no - at the start"
    );
    let add = BTreeSet::from(["a b".to_owned()]);
    assert_eq!(
        refused(&Command::Retag {
            lv: id('a'),
            add,
            remove: BTreeSet::new()
        }),
        "tag \"a b\": letters, digits and _ + . - / = ! : & # are allowed, 1024 of them"
    );
    let gone = "z".repeat(32);
    assert_eq!(
        refused(&Command::Activate { lv: id('z') }),
        format!("logical volume {gone} does not exist")
    );
    let mut partial = vg();
    partial.pvs[1].device = None;
    let error = config::devices(&partial).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "volume group data is not complete: no disk carries physical volume two; plug it in, or \
         see `vgreduce --removemissing`"
    );
}

#[test]
fn what_a_command_takes_is_counted_with_mirrors_and_parity() {
    let thick = |kind, extents| Command::CreateThick {
        name: "x".to_owned(),
        extents,
        kind,
        on: Vec::new(),
        active: false,
        tags: BTreeSet::new(),
    };
    let vg = vg();
    assert_eq!(needs(&vg, &thick(Kind::Linear, 7)), Some((7, 1, 0)));
    assert_eq!(
        needs(&vg, &thick(Kind::Striped { stripes: 2 }, 7)),
        Some((8, 2, 4))
    );
    let mirrored = Kind::Raid1 {
        mirrors: 1,
        integrity: false,
    };
    assert_eq!(needs(&vg, &thick(mirrored, 7)), Some((16, 2, 8)));
    let parity = Kind::Raid5 {
        stripes: 2,
        integrity: false,
    };
    assert_eq!(needs(&vg, &thick(parity, 7)), Some((15, 3, 5)));
}
