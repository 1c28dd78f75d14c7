use super::*;

fn parsed(fs: FsType, text: &str) -> MkfsOptions {
    MkfsOptions::parse(fs, text).unwrap()
}

#[test]
fn options_are_words_with_their_values() {
    assert_eq!(
        parsed(FsType::Ext4, " -b 4096  -m0 -i 65536 ").words,
        ["-b", "4096", "-m", "0", "-i", "65536"]
    );
    assert_eq!(
        parsed(FsType::Btrfs, "-M --nodesize=4096").words,
        ["-M", "--nodesize", "4096"]
    );
    assert!(parsed(FsType::Xfs, "").words.is_empty());
}

#[test]
fn dangerous_and_unknown_options_are_refused() {
    use FsType::{Btrfs, Ext4, Xfs};
    let cases = [
        (Ext4, "-F"),
        (Ext4, "-U random"),
        (Ext4, "/dev/sda"),
        (Ext4, "-d /etc"),
        (Ext4, "-n"),
        (Ext4, "-S"),
        (Ext4, "-J device=/dev/sdb"),
        (Ext4, "-J device=UUID"),
        (Ext4, "-E offset=1024"),
        (Ext4, "-E nodiscard,resize=4G"),
        (Ext4, "-m"),
        (Ext4, "-b -F"),
        (Ext4, "-L /dev/sda"),
        (Xfs, "-f"),
        (Xfs, "-K"),
        (Xfs, "-m uuid=00000000-0000-0000-0000-000000000000"),
        (Xfs, "-d name=x"),
        (Xfs, "-d size=1g"),
        (Xfs, "-l logdev=x"),
        (Xfs, "-c options=x"),
        (Xfs, "-p proto"),
        (Xfs, "-r rtdev=x"),
        (Btrfs, "-f"),
        (Btrfs, "--force"),
        (Btrfs, "-U x"),
        (Btrfs, "-b 1G"),
        (Btrfs, "-r dir"),
        (Btrfs, "--rootdir=dir"),
        (Btrfs, "-Mf"),
        (Btrfs, "--shrink"),
    ];
    for (fs, text) in cases {
        assert!(MkfsOptions::parse(fs, text).is_err(), "{fs} {text}");
    }
}

#[test]
fn a_refusal_names_the_option_and_what_is_allowed() {
    assert_eq!(
        MkfsOptions::parse(FsType::Ext4, "-b 4096 -F")
            .unwrap_err()
            .to_string(),
        "mkfs option \"-F\" is refused: for ext4 it may be -b -C -E -g -G -i -I -J -L -m -N -O -T, each \
         with a value; device, UUID, size and force are not for a class"
    );
    assert_eq!(
        MkfsOptions::parse(FsType::Xfs, "-l logdev=x")
            .unwrap_err()
            .to_string(),
        "mkfs option \"-l logdev=x\" is refused: for xfs its value may not hold a path or logdev or name \
         or file or internal"
    );
}

#[test]
fn no_option_text_makes_the_parser_panic_or_brings_a_path() {
    bolero::check!()
        .with_type::<(u8, String)>()
        .for_each(|(fs, text)| {
            if let Ok(options) = MkfsOptions::parse(FsType::ALL[usize::from(fs % 3)], text) {
                assert!(
                    options
                        .words
                        .iter()
                        .all(|word| !word.contains('/') && word != "-f" && word != "-F")
                );
            }
        });
}

#[test]
fn arguments_pin_the_features_and_let_the_class_go_first() {
    let uuid = Uuid([0x11; 16]);
    let options = parsed(FsType::Xfs, "-m reflink=0 -i size=1024");
    assert_eq!(
        xfs_arguments(uuid, &options, (6, 1)).join(" "),
        "-q -K -m crc=1,finobt=1,rmapbt=0,bigtime=1,inobtcount=0,\
         uuid=11111111-1111-1111-1111-111111111111,reflink=0 -i sparse=1,nrext64=0,size=1024"
    );
    let plain = xfs_arguments(uuid, &MkfsOptions::default(), (6, 10)).join(" ");
    assert!(
        plain.ends_with("-i sparse=1,nrext64=0,exchange=0 -n parent=0"),
        "{plain}"
    );
    let old = xfs_arguments(uuid, &MkfsOptions::default(), (5, 10)).join(" ");
    assert!(old.ends_with("-i sparse=1"), "{old}");
    let ext4 =
        ext4_arguments(uuid, &parsed(FsType::Ext4, "-E stride=16 -O ^has_journal")).join(" ");
    assert!(
        ext4.contains("-O none,ext_attr,") && ext4.contains(",^has_journal "),
        "{ext4}"
    );
    assert!(ext4.ends_with("-E nodiscard,stride=16"), "{ext4}");
    let btrfs = btrfs_arguments(uuid, &MkfsOptions::default(), &["block-group-tree"]).join(" ");
    assert!(btrfs.ends_with("-s 4096 -O ^block-group-tree"), "{btrfs}");
}

#[test]
fn versions_are_read() {
    assert_eq!(version_in("mkfs.xfs version 6.1.0\n"), (6, 1));
    assert_eq!(version_in("what?"), (0, 0));
}

#[test]
fn a_device_too_small_is_refused_with_the_minimum() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(299 << 20).unwrap();
    let options = MkfsOptions::default();
    let error = format(
        &Tools::default(),
        file.path(),
        FsType::Xfs,
        Uuid([1; 16]),
        &options,
    )
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "xfs needs at least 314572800 bytes and {} has 313524224: ask for a larger volume",
            file.path().display()
        )
    );
}
