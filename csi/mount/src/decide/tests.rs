use super::*;
use crate::probe::Signature;

const OWN: Uuid = Uuid([1; 16]);
const OTHER: Uuid = Uuid([2; 16]);

fn seen(all: &[(Kind, Option<Uuid>)]) -> Probe {
    let signature =
        |(kind, uuid): &(Kind, Option<Uuid>)| Signature::new(kind.clone(), 0).with(*uuid);
    Probe {
        found: all.iter().map(signature).collect(),
    }
}

fn wanted(fs: Option<FsType>, encrypted: bool) -> Wanted {
    Wanted {
        fs,
        uuid: OWN,
        encrypted,
    }
}

/// F: format, U: use, C: use a copy, R: refuse.
fn letter(decision: &Decision) -> char {
    match decision {
        Decision::Format => 'F',
        Decision::Use { copied: false, .. } => 'U',
        Decision::Use { copied: true, .. } => 'C',
        Decision::Refuse(_) => 'R',
    }
}

#[test]
fn every_tag_meets_every_probe() {
    use FsType::{Ext4, Xfs};
    const LUKS: Kind = Kind::Luks { version: 2 };
    let probes = [
        seen(&[]),
        seen(&[(Kind::Ext, Some(OWN))]),
        seen(&[(Kind::Ext, Some(OTHER))]),
        seen(&[(Kind::Xfs, Some(OWN))]),
        seen(&[(LUKS, Some(OWN))]),
        seen(&[(LUKS, Some(OTHER))]),
        seen(&[(Kind::LvmPv, None)]),
        seen(&[(Kind::Unknown, None)]),
        seen(&[(Kind::Ext, Some(OWN)), (Kind::Gpt, None)]),
        seen(&[(Kind::Ext, None)]),
    ];
    // Columns: nothing, own ext4, other ext4, own xfs, own LUKS, other LUKS, PV, unknown, ext4 + GPT,
    // ext4 without UUID.
    let table = [
        (Formatted::Never, Some(Ext4), false, "FFRFRRRRRR"),
        (Formatted::Never, Some(Ext4), true, "FRRRFRRRRR"),
        (Formatted::Never, None, false, "URRRRRRRRR"),
        (Formatted::Never, None, true, "FRRRFRRRRR"),
        (Formatted::Begun, Some(Ext4), false, "FFRFRRRFRR"),
        (Formatted::Begun, Some(Ext4), true, "FRRRFRRFRR"),
        (Formatted::Begun, None, false, "URRRRRRRRR"),
        (Formatted::Begun, None, true, "FRRRFRRFRR"),
        (Formatted::As(Ext4), Some(Ext4), false, "RUURRRRRUU"),
        (Formatted::As(Ext4), Some(Ext4), true, "RRRRUURRRR"),
        (Formatted::As(Ext4), Some(Xfs), false, "RRRRRRRRRR"),
        (Formatted::As(Ext4), None, false, "RRRRRRRRRR"),
        (Formatted::As(Xfs), Some(Xfs), false, "RRRURRRRRR"),
        (Formatted::Copied(Ext4), Some(Ext4), false, "RCCRRRRRCC"),
        (Formatted::Copied(Ext4), Some(Ext4), true, "RRRRCCRRRR"),
        (Formatted::Copied(Ext4), None, false, "RRRRRRRRRR"),
        (Formatted::Raw, None, false, "UUUUUUUUUU"),
        (Formatted::Raw, None, true, "RRRRUURRRR"),
        (Formatted::Raw, Some(Ext4), false, "RRRRRRRRRR"),
    ];
    for (state, fs, encrypted, row) in table {
        let got: String = probes
            .iter()
            .map(|probe| letter(&decide(state, &wanted(fs, encrypted), probe)))
            .collect();
        assert_eq!(got, row, "{state}, wanted {fs:?}, encrypted {encrypted}");
    }
}

#[test]
fn nothing_but_a_blank_or_our_own_is_ever_formatted() {
    bolero::check!()
        .with_type::<(u8, u8, bool, bool, [u8; 3])>()
        .for_each(|input| {
            let (state, fs, encrypted, own, kinds) = *input;
            let kind = |number: u8| match number % 9 {
                0 => Kind::Ext,
                1 => Kind::Xfs,
                2 => Kind::Btrfs,
                3 => Kind::Luks { version: 2 },
                4 => Kind::Swap,
                5 => Kind::LvmPv,
                6 => Kind::Gpt,
                7 => Kind::Other("x".to_owned()),
                _ => Kind::Unknown,
            };
            let uuid = if own { OWN } else { OTHER };
            let count = usize::from(kinds[0] % 3);
            let found: Vec<_> = kinds[..count]
                .iter()
                .map(|it| (kind(*it), Some(uuid)))
                .collect();
            let fs = [
                Some(FsType::Ext4),
                Some(FsType::Xfs),
                Some(FsType::Btrfs),
                None,
            ][usize::from(fs % 4)];
            let state = [
                Formatted::Never,
                Formatted::Begun,
                Formatted::As(FsType::Ext4),
                Formatted::Copied(FsType::Xfs),
                Formatted::Raw,
            ][usize::from(state % 5)];
            if decide(state, &wanted(fs, encrypted), &seen(&found)) == Decision::Format {
                assert!(matches!(state, Formatted::Never | Formatted::Begun));
                let begun = state == Formatted::Begun;
                assert!(
                    own || found
                        .iter()
                        .all(|(kind, _)| begun && *kind == Kind::Unknown)
                );
            }
        });
}

#[test]
fn an_unfinished_file_system_of_ours_is_made_again_but_never_used() {
    let unfinished = Signature {
        complete: false,
        ..Signature::new(Kind::Xfs, 0).with(Some(OWN))
    };
    let probe = Probe {
        found: vec![unfinished],
    };
    let wanted = wanted(Some(FsType::Xfs), false);
    assert_eq!(decide(Formatted::Never, &wanted, &probe), Decision::Format);
    let decision = decide(Formatted::As(FsType::Xfs), &wanted, &probe);
    assert!(matches!(decision, Decision::Refuse(_)));
}

#[test]
fn refusals_say_what_the_tag_says_what_was_seen_and_what_to_do() {
    let words =
        |state, fs, encrypted, probe: &Probe| match decide(state, &wanted(fs, encrypted), probe) {
            Decision::Refuse(words) => words,
            other => panic!("{other:?}"),
        };
    let ext4 = Some(FsType::Ext4);
    assert_eq!(
        words(Formatted::Never, ext4, false, &seen(&[(Kind::LvmPv, None)])),
        "its tag says that it is not formatted yet, but the device shows an LVM physical volume at byte \
         0; somebody else has written to it: save what is of value, then clear it by hand (wipefs) or \
         delete the volume"
    );
    assert_eq!(
        words(Formatted::As(FsType::Ext4), ext4, false, &seen(&[])),
        "its tag says that it is formatted as ext4, so ext4 has to be there, but the device shows \
         nothing; it is not formatted again: its content was damaged or replaced, restore it from a \
         snapshot or a backup"
    );
    assert_eq!(
        words(
            Formatted::As(FsType::Ext4),
            Some(FsType::Xfs),
            false,
            &seen(&[])
        ),
        "its tag says that it is formatted as ext4, and xfs was asked for; ask for ext4"
    );
    assert_eq!(
        words(Formatted::Raw, ext4, false, &seen(&[])),
        "its tag says that it is used as a raw block device, and ext4 was asked for; ask for it as a \
         block device"
    );
    assert_eq!(
        words(Formatted::Copied(FsType::Xfs), None, false, &seen(&[])),
        "its tag says that it is a copy that holds xfs, and a raw block device was asked for; ask for \
         it as a file system"
    );
    assert_eq!(
        words(Formatted::Raw, None, true, &seen(&[])),
        "its class has encryption, so LUKS2 has to be there, but the device shows nothing; it is not \
         formatted again"
    );
}
