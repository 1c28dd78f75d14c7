use proptest::prelude::*;

use super::*;

const MIB: u64 = 1 << 20;

fn rules() -> Rules {
    Rules {
        extent: 4 * MIB,
        granularity: 1,
        fs: None,
        header: 0,
        source: 0,
    }
}

fn choose(required: i64, limit: i64, rules: &Rules) -> Result<u64, String> {
    CapacityRange::new(required, limit)
        .and_then(|range| range.choose(rules))
        .map(|chosen| chosen.bytes)
        .map_err(|error| error.to_string())
}

#[test]
fn sizes_are_rounded_up_to_what_lvm_gives() {
    assert_eq!(choose(1, 0, &rules()), Ok(4 * MIB));
    assert_eq!(choose(5_000_000, 0, &rules()), Ok(8 * MIB));
    let striped = Rules {
        granularity: 3,
        ..rules()
    };
    assert_eq!(choose(5_000_000, 0, &striped), Ok(12 * MIB));
    let encrypted = Rules {
        header: LUKS_HEADER,
        ..rules()
    };
    let chosen = CapacityRange::new(5_000_000, 0)
        .unwrap()
        .choose(&encrypted)
        .unwrap();
    assert_eq!(
        (chosen.bytes, chosen.lv_bytes, chosen.extents),
        (8 * MIB, 24 * MIB, 6)
    );
}

#[test]
fn a_request_that_leaves_the_size_open_gets_a_usual_one() {
    let default = CapacityRange::default();
    assert_eq!(default.choose(&rules()).unwrap().bytes, 1 << 30);
    let source = Rules {
        source: 100 * MIB,
        ..rules()
    };
    assert_eq!(default.choose(&source).unwrap().bytes, 100 * MIB);
    assert_eq!(choose(0, 400_000_000, &rules()), Err("limit_bytes 400000000 is too small: the next size for 400000000 bytes is 402653184 bytes (whole extents of the volume group)".to_owned()));
    assert_eq!(choose(0, 1 << 40, &rules()), Ok(1 << 30));
}

#[test]
fn file_systems_have_least_sizes() {
    let least = |fs| {
        choose(
            1,
            0,
            &Rules {
                fs: Some(fs),
                ..rules()
            },
        )
    };
    assert_eq!(
        [Fs::Ext4, Fs::Xfs, Fs::Btrfs].map(least),
        [Ok(16 * MIB), Ok(304 * MIB), Ok(128 * MIB)]
    );
}

#[test]
fn sizes_that_cannot_be_had_are_refused_in_words() {
    let xfs = Rules {
        fs: Some(Fs::Xfs),
        ..rules()
    };
    let restored = Rules {
        source: 10 * MIB,
        ..rules()
    };
    let table = [
        (
            choose(-1, 0, &rules()),
            "required_bytes -1 is negative: 0 (nothing said) or more is allowed",
        ),
        (
            choose(0, -5, &rules()),
            "limit_bytes -5 is negative: 0 (nothing said) or more is allowed",
        ),
        (
            choose(0, 0, &rules()),
            "capacity range is empty: one of required_bytes and limit_bytes has to be above 0",
        ),
        (
            choose(2, 1, &rules()),
            "limit_bytes 1 is less than required_bytes 2",
        ),
        (
            choose(5, 6, &rules()),
            "limit_bytes 6 is too small: the next size for 5 bytes is 4194304 bytes (whole extents of the volume group)",
        ),
        (
            choose(1, 100, &xfs),
            "limit_bytes 100 is too small: the next size for 318767104 bytes is 318767104 bytes (the least size of the file system)",
        ),
        (
            choose(1, 100, &restored),
            "limit_bytes 100 is too small: the next size for 10485760 bytes is 12582912 bytes (the source's size)",
        ),
        (
            choose(i64::MAX, 0, &rules()),
            "9223372036854775807 bytes are too many: a volume has at most 18014398505287680 bytes",
        ),
    ];
    for (result, text) in table {
        assert_eq!(result, Err(text.to_owned()));
    }
    let invalid = |required, limit| {
        CapacityRange::new(required, limit)
            .unwrap_err()
            .is_invalid_argument()
    };
    assert_eq!(
        [invalid(-1, 0), invalid(0, 0), invalid(2, 1)],
        [true, true, false]
    );
}

proptest! {
    #[test]
    fn a_chosen_size_obeys_the_request_and_the_rules(
        required in 0_i64..=i64::MAX,
        over in 0_i64..1 << 40,
        shift in 12_u32..33,
        granularity in 1_u64..33,
        encrypted in any::<bool>(),
        source in 0_u64..1 << 40,
    ) {
        let rules = Rules {
            extent: 1 << shift,
            granularity,
            fs: None,
            header: if encrypted { LUKS_HEADER } else { 0 },
            source,
        };
        let range = CapacityRange::new(required, required.saturating_add(over));
        let Ok(chosen) = range.clone().and_then(|range| range.choose(&rules)) else { return Ok(()) };
        prop_assert!(range.unwrap().contains(chosen.bytes));
        prop_assert!(chosen.bytes >= source);
        prop_assert_eq!(chosen.lv_bytes, chosen.bytes + rules.header);
        prop_assert_eq!(chosen.extents * rules.extent, chosen.lv_bytes);
        prop_assert_eq!(chosen.extents % granularity, 0);
        prop_assert!(i64::try_from(chosen.lv_bytes).is_ok());
    }
}
