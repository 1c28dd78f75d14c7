use super::*;

/// As `vgcfgbackup` of LVM 2.03.16 writes it.
const GROUP: &str = include_str!("group.vg");
/// Numbers at which sums and products end.
const EDGES: [&str; 8] = [
    "0",
    "-1",
    "1",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999",
];

#[test]
fn a_group_is_described_with_all_that_is_in_it() {
    let described = describe(GROUP.into(), None).expect("sound");
    let vg = &described.vg;
    assert_eq!(
        (vg.name.as_str(), vg.seqno, vg.extent_size),
        ("data", 14, 4 << 20)
    );
    assert_eq!((described.exported, described.lock_type), (false, None));
    let extents: Vec<u64> = vg.pvs.iter().map(|pv| pv.extents).collect();
    assert_eq!(extents, [255, 255]);
    let layout = |name: &str| vg.lv_named(name).expect("there").layout.clone();
    assert_eq!(layout("lin"), Layout::Linear);
    assert_eq!(layout("str"), Layout::Striped { stripes: 2 });
    let mirrored = Layout::Raid1 {
        copies: 2,
        integrity: false,
    };
    assert_eq!(layout("mir"), mirrored);
    let origin = "lin".to_owned();
    assert_eq!(layout("cow"), Layout::CowSnapshot { origin });
    let snapshot = vg.lv_named("snap").expect("there");
    assert!(!snapshot.writable && snapshot.skip_activation);
    assert!(
        matches!(&snapshot.layout, Layout::Thin { pool, origin: Some(of), .. } if pool == "pool" && of == "thin")
    );
    let tags = &vg.lv_named("lin").expect("there").tags;
    assert!(tags.contains("fl.n=a#20b"), "{tags:?}");
}

/// All that is computed from a description.
fn used(described: &Described) {
    let vg = &described.vg;
    let _ = (vg.free_extents(), vg.extents(), vg.partial(), vg.missing());
    for lv in &vg.lvs {
        let _ = (vg.bytes(lv), vg.lv(&lv.uuid));
    }
    for pv in &vg.pvs {
        let _ = pv.free_extents();
    }
}

/// Reads a text alone and after the sound one: both must say the same.
fn read(text: Vec<u8>, before: &Kept) {
    let alone = describe(text.clone(), None);
    let after = describe(text, Some(before));
    assert_eq!(
        alone.as_ref().map(|it| &it.vg),
        after.as_ref().map(|it| &it.vg)
    );
    if let Ok(described) = alone {
        used(&described);
    }
}

#[test]
fn no_number_and_no_change_of_bytes_breaks_the_reader() {
    let numbers: Vec<(usize, usize)> = GROUP
        .match_indices(" = ")
        .map(|(at, _)| at + 3)
        .filter_map(|at| {
            let length = GROUP[at..].bytes().take_while(u8::is_ascii_digit).count();
            (length > 0).then_some((at, length))
        })
        .collect();
    let sound = describe(GROUP.into(), None).expect("sound").kept;
    assert!(numbers.len() > 50, "{} numbers", numbers.len());
    for (at, length) in numbers {
        for edge in EDGES {
            let text = [&GROUP[..at], edge, &GROUP[at + length..]].concat();
            read(text.into_bytes(), &sound);
        }
    }
    bolero::check!()
        .with_type::<(u16, u8, Vec<u8>)>()
        .for_each(|(at, gone, new)| {
            let mut text = GROUP.as_bytes().to_vec();
            let at = usize::from(*at) % text.len();
            let end = (at + usize::from(*gone)).min(text.len());
            text.splice(at..end, new.iter().copied());
            read(text, &sound);
        });
}
