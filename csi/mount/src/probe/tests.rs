use super::*;

fn look(bytes: &[u8]) -> Vec<Signature> {
    let mut read = |offset: u64, length: usize| {
        let start = usize::try_from(offset).unwrap();
        Ok(bytes[start..start + length].to_vec())
    };
    recognise(&mut read, bytes.len() as u64).unwrap()
}

fn with(size: usize, places: &[(usize, &[u8])]) -> Vec<Signature> {
    let mut bytes = vec![0; size];
    for (offset, content) in places {
        bytes[*offset..offset + content.len()].copy_from_slice(content);
    }
    look(&bytes)
}

#[test]
fn zeros_are_nothing_whatever_the_size() {
    for size in [0, 1, 511, 512, 4096, 65_536, 1 << 20, 9 << 20] {
        assert!(look(&vec![0; size]).is_empty(), "{size}");
    }
}

#[test]
fn one_byte_in_the_first_page_is_something() {
    for offset in [0, 1, 511, 1023, 4095] {
        let found = with(1 << 20, &[(offset, b"x")]);
        assert_eq!(found, [Signature::new(Kind::Unknown, offset as u64)]);
    }
}

#[test]
fn every_known_kind_is_recognised_by_its_signature() {
    const MIB: usize = 1 << 20;
    let end = 2 * MIB;
    let md = 0xa92b_4efc_u32.to_le_bytes();
    let cases: &[(usize, &[u8], Kind)] = &[
        (0x438, &[0x53, 0xef], Kind::Ext),
        (0, b"XFSB", Kind::Xfs),
        (0x1_0040, b"_BHRfS_M", Kind::Btrfs),
        (0, b"LUKS\xba\xbe\0\x01", Kind::Luks { version: 1 }),
        (0, b"LUKS\xba\xbe\0\x02", Kind::Luks { version: 2 }),
        (0x4000, b"SKUL\xba\xbe", Kind::Luks { version: 2 }),
        (0x10_0000, b"SKUL\xba\xbe", Kind::Luks { version: 2 }),
        (4086, b"SWAPSPACE2", Kind::Swap),
        (65_526, b"SWAP-SPACE", Kind::Swap),
        (512, b"LABELONE", Kind::LvmPv),
        (1536, b"LABELONE", Kind::LvmPv),
        (0, &md, Kind::Md),
        (4096, &md, Kind::Md),
        (end - 8192, &md, Kind::Md),
        (end - 65_536, &md, Kind::Md),
        (512, b"EFI PART", Kind::Gpt),
        (4096, b"EFI PART", Kind::Gpt),
        (end - 512, b"EFI PART", Kind::Gpt),
        (510, &[0x55, 0xaa], Kind::Mbr),
        (32_769, b"CD001", Kind::Other("ISO 9660".to_owned())),
    ];
    for (offset, bytes, kind) in cases {
        let found = with(end, &[(*offset, bytes)]);
        assert!(
            found.iter().any(|it| it.kind == *kind),
            "{kind} at {offset}: {found:?}"
        );
    }
}

#[test]
fn what_an_interrupted_mkfs_leaves_is_told_from_a_finished_one() {
    let own = Uuid::derived("x");
    let cases: &[&[(usize, &[u8])]] = &[
        &[(0, b"XFSB"), (32, &own.0), (126, &[1])],
        &[(512, b"XAGF"), (576, &own.0)],
        &[(8192, b"XAGI"), (8488, &own.0)],
        &[(0x1_0040, b"!BHRfS_M"), (0x1_0020, &own.0)],
    ];
    for places in cases {
        let found = with(1 << 20, places);
        assert!(
            !found[0].complete && found[0].uuid == Some(own),
            "{found:?}"
        );
    }
}

#[test]
fn a_read_error_is_an_error_and_names_the_device() {
    let mut read = |offset: u64, length: usize| {
        if offset > 0 {
            Err(io::Error::from_raw_os_error(5))
        } else {
            Ok(vec![0; length])
        }
    };
    assert!(recognise(&mut read, 1 << 30).is_err());
    let error = probe(Path::new("/proc/self/mem")).unwrap_err().to_string();
    assert_eq!(
        error,
        "cannot probe /proc/self/mem: it has 0 bytes, too few to be a volume"
    );
    let error = probe(Path::new("/proc")).unwrap_err().to_string();
    assert_eq!(error, "/proc is not a block device");
}

#[test]
fn no_device_makes_the_reader_panic() {
    bolero::check!().for_each(|bytes| drop(look(bytes)));
}

#[test]
fn blkid_says_the_type_before_the_partition_table() {
    assert_eq!(
        name_of("DEVNAME=/dev/x\nTYPE=zfs_member\nPTTYPE=dos\n"),
        "zfs_member (by blkid)"
    );
    assert_eq!(name_of("PTTYPE=gpt\n"), "gpt (by blkid)");
    assert_eq!(name_of("DEVNAME=/dev/x\n"), "something blkid cannot name");
}

#[test]
fn blkid_knows_what_our_readers_do_not() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = vec![0; 1 << 20];
    // VxFS: 0xa501fcf5 at 8 KiB.
    bytes[8192..8196].copy_from_slice(&0xa501_fcf5_u32.to_be_bytes());
    std::fs::write(file.path(), &bytes).unwrap();
    assert!(probe(file.path()).unwrap().is_blank());
    let seen = inspect(&Tools::default(), file.path()).unwrap();
    assert_eq!(seen.to_string(), "vxfs (by blkid) at byte 0");
}

#[test]
fn words_of_a_probe_name_kind_place_and_uuid() {
    let uuid = Uuid([0x11; 16]);
    let found = vec![
        Signature::new(Kind::Xfs, 0).with(Some(uuid)),
        Signature::new(Kind::Unknown, 7),
    ];
    assert_eq!(
        Probe { found }.to_string(),
        "xfs at byte 0 with UUID 11111111-1111-1111-1111-111111111111, bytes of unknown origin at byte 7"
    );
    assert_eq!(Probe::default().to_string(), "nothing");
}
