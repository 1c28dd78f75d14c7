use proptest::prelude::*;

use super::*;
use crate::{Encryption, Layout, Reserve, WhenFull, Wipe};

fn names() -> impl Strategy<Value = CoName> {
    // Any characters but control ones, cut to 128 bytes.
    prop::collection::vec(any::<char>(), 1..128).prop_filter_map("empty", |characters| {
        let mut name = String::new();
        for c in characters.into_iter().filter(|c| !c.is_control()) {
            if name.len() + c.len_utf8() <= 128 {
                name.push(c);
            }
        }
        CoName::new(&name).ok()
    })
}

fn lv_names() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_.+]{1,3}[a-zA-Z0-9_.+-]{0,124}"
        .prop_filter("dots", |name| name != "." && name != "..")
}

fn layouts() -> impl Strategy<Value = Layout> {
    let reserve = prop::option::of(prop_oneof![
        (0_u8..=90).prop_map(Reserve::Percent),
        any::<u64>().prop_map(Reserve::Bytes)
    ]);
    let when = prop::option::of(prop_oneof![Just(WhenFull::Queue), Just(WhenFull::Error)]);
    let chunk = prop::option::of((1_u64..=16384).prop_map(|n| n << 16));
    prop_oneof![
        (prop::option::of(lv_names()), chunk, when, reserve).prop_map(
            |(pool, chunk, when_full, reserve)| Layout::Thin {
                pool,
                chunk,
                when_full,
                reserve
            }
        ),
        Just(Layout::Linear),
        (2_u32..=32).prop_map(|stripes| Layout::Striped { stripes }),
        any::<bool>().prop_map(|integrity| Layout::Raid1 { integrity }),
        (2_u32..=32, any::<bool>())
            .prop_map(|(stripes, integrity)| Layout::Raid5 { stripes, integrity }),
    ]
}

fn filesystems() -> impl Strategy<Value = Fs> {
    prop::sample::select(Fs::ALL.to_vec())
}

prop_compose! {
    fn parameters()(
        (class, vg) in prop_oneof![
            Just((None, None)),
            lv_names().prop_map(|class| (Some(class), None)),
            lv_names().prop_map(|vg| (None, Some(vg))),
        ],
        layout in layouts(),
        fs in prop::option::of(filesystems()),
        mkfs_options in prop::collection::vec("[-a-zA-Z0-9=,:#%^é]{1,10}", 0..8),
        encrypted in any::<bool>(),
        wiped in any::<bool>(),
    ) -> Parameters {
        let mkfs_options = mkfs_options
            .into_iter()
            .filter(|word| !word.starts_with("-U") && !word.contains("uuid"))
            .collect();
        Parameters {
            class,
            vg,
            layout,
            fs,
            mkfs_options,
            encryption: if encrypted { Encryption::Luks2 } else { Encryption::None },
            wipe: if wiped { Wipe::Delete } else { Wipe::None },
        }
    }
}

fn limits() -> impl Strategy<Value = Limits> {
    prop::array::uniform4(prop::option::of(any::<u64>())).prop_map(
        |[read_bps, write_bps, read_iops, write_iops]| Limits {
            read_bps,
            write_bps,
            read_iops,
            write_iops,
        },
    )
}

fn states() -> impl Strategy<Value = FsState> {
    prop_oneof![
        Just(FsState::Never),
        Just(FsState::Begun),
        Just(FsState::Raw),
        filesystems().prop_map(FsState::Formatted),
        filesystems().prop_map(FsState::Inherited),
    ]
}

fn sources() -> impl Strategy<Value = Option<Source>> {
    let kind = prop_oneof![Just(Kind::Volume), Just(Kind::Snapshot)];
    prop::option::of((kind, "[a-zA-Z0-9]{32}").prop_map(|(kind, lv)| Source {
        kind,
        lv: lv.parse().unwrap(),
    }))
}

fn members() -> impl Strategy<Value = Option<Member>> {
    prop::option::of(prop_oneof![
        Just(Member::First),
        "[a-zA-Z0-9]{32}".prop_map(|lv| Member::Of(lv.parse().unwrap())),
    ])
}

prop_compose! {
    fn records()(
        snapshot in any::<bool>(),
        cluster in "[^\\p{Cc}]{0,60}",
        name in names(),
        wanted in any::<u64>(),
        parameters in parameters(),
        source in sources(),
        making in any::<bool>(),
        fs in states(),
        put_aside in prop::option::of(any::<u64>()),
        limits in limits(),
        group in members(),
    ) -> Record {
        let kind = if snapshot { Kind::Snapshot } else { Kind::Volume };
        Record {
            kind, cluster, name, wanted, parameters, source, making, fs, put_aside, limits, group,
        }
    }
}

fn others() -> impl Strategy<Value = BTreeSet<String>> {
    prop::collection::btree_set("(some|fl\\.other=|flx=|owner=)[a-z]{0,5}", 0..4)
}

fn read(tags: &BTreeSet<String>) -> Result<Option<Record>, RecordError> {
    Record::from_tags(tags.iter().map(String::as_str))
}

proptest! {
    #[test]
    fn a_record_comes_back_from_its_tags_with_tags_of_others_beside(
        record in records(),
        others in others(),
    ) {
        let mut tags = record.tags().unwrap();
        for tag in &tags {
            prop_assert!(tag.len() <= MAX_TAG);
            let taken = |byte: u8| byte.is_ascii_alphanumeric() || b"_+.-/=!:&#".contains(&byte);
            prop_assert!(tag.bytes().all(taken), "{}", tag);
        }
        tags.extend(others);
        prop_assert_eq!(read(&tags), Ok(Some(record)));
    }

    #[test]
    fn changes_lead_from_any_tags_to_the_record_and_touch_nobody_elses(
        from in records(),
        to in records(),
        others in others(),
    ) {
        let mut tags = from.tags().unwrap();
        tags.extend(others.iter().cloned());
        let (add, remove) = changes(tags.iter().map(String::as_str), &to).unwrap();
        prop_assert!(remove.is_subset(&tags) && remove.is_disjoint(&others));
        tags.retain(|tag| !remove.contains(tag));
        tags.extend(add);
        prop_assert_eq!(read(&tags), Ok(Some(to.clone())));
        prop_assert!(others.is_subset(&tags));
        let again = changes(tags.iter().map(String::as_str), &to).unwrap();
        prop_assert_eq!(again, (BTreeSet::new(), BTreeSet::new()));
    }

    #[test]
    fn reading_any_tags_never_fails_otherwise_than_by_an_error(
        tags in prop::collection::btree_set("fl\\.(k|c|n|z|p|src|s|fs|d|q|g)=[ -~]{0,20}", 0..12),
    ) {
        let _ = read(&tags);
    }
}

fn usual() -> BTreeSet<String> {
    let tags = [
        "fl.k=vol",
        "fl.c=c1",
        "fl.n=pvc#20é",
        "fl.z=1073741824",
        "fl.fs=ext4!",
    ];
    tags.iter().map(|tag| tag.replace('é', "#c3#a9")).collect()
}

#[test]
fn tags_are_short_and_for_people_too() {
    let record = read(&usual()).unwrap().unwrap();
    assert_eq!(record.name.as_str(), "pvc é");
    assert_eq!(record.fs, FsState::Inherited(Fs::Ext4));
    assert_eq!(record.tags().unwrap(), usual());
}

#[test]
fn an_lv_without_a_kind_is_not_ours() {
    let tags = BTreeSet::from(["fl.c=c1".to_owned(), "fl.k".to_owned(), "other".to_owned()]);
    assert_eq!(read(&tags), Ok(None));
}

#[test]
fn tags_that_do_not_fit_together_are_told_in_words() {
    let with = |tag: &str| {
        let mut tags = usual();
        let (key, _) = tag.split_once('=').unwrap();
        tags.retain(|old| !old.starts_with(&format!("{key}=")));
        tags.insert(tag.to_owned());
        read(&tags).unwrap_err().to_string()
    };
    assert_eq!(with("fl.k=disk"), "tag fl.k=disk is not known: vol or snap");
    assert_eq!(
        with("fl.z=many"),
        "tag fl.z=many is not known: a whole number"
    );
    assert_eq!(with("fl.s=made"), "tag fl.s=made is not known: making");
    assert_eq!(
        with("fl.fs=zfs"),
        "tag fl.fs=zfs is not known: none, raw, ext4, xfs or btrfs, the last three also with !"
    );
    assert_eq!(
        with("fl.src=x"),
        "tag fl.src=x is not known: s: or v: and the id of a logical volume"
    );
    assert_eq!(
        with("fl.q=x"),
        "tag fl.q=x is not known: r, w, R and W with a number each"
    );
    assert_eq!(
        with("fl.g=second"),
        "tag fl.g=second is not known: first or the id of a logical volume"
    );
    assert_eq!(
        with("fl.n="),
        "tag fl.n: name is empty: 1 to 128 bytes are needed"
    );
    assert_eq!(
        with("fl.p=z=1"),
        "tag fl.p: parameter fl.p \"z=1\": not what this version of the driver writes"
    );
    assert_eq!(
        with("fl.c=#"),
        "\"#\" has a '#' that two hexadecimal digits do not follow, or is not UTF-8"
    );
    let mut tags = usual();
    tags.insert("fl.z=1".to_owned());
    assert_eq!(
        read(&tags).unwrap_err().to_string(),
        "tag fl.z is there twice, with \"1\" and \"1073741824\""
    );
    tags.retain(|tag| !tag.starts_with("fl.z="));
    assert_eq!(read(&tags).unwrap_err().to_string(), "tag fl.z is missing");
}

#[test]
fn a_tag_that_lvm_would_not_take_is_refused_in_words() {
    let record = Record {
        cluster: "é".repeat(200),
        ..read(&usual()).unwrap().unwrap()
    };
    assert_eq!(
        record.tags().unwrap_err().to_string(),
        "a tag of 1205 bytes does not fit: LVM takes 1024; shorten the cluster's id"
    );
}
