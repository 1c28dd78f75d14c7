use super::*;

fn parse(pairs: &[(&str, &str)]) -> Result<Parameters, ParameterError> {
    let pairs = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Parameters::parse(&pairs.collect())
}

fn refused(pairs: &[(&str, &str)]) -> String {
    parse(pairs).unwrap_err().to_string()
}

#[test]
fn nothing_said_is_a_thin_volume_of_the_first_class() {
    let parameters = parse(&[
        ("csi.storage.k8s.io/pvc/name", "x"),
        ("csi.storage.k8s.io/fstype", ""),
    ]);
    assert_eq!(parameters, Ok(Parameters::default()));
    assert_eq!(Parameters::default().canonical(), "");
}

#[test]
fn every_parameter_says_what_it_says() {
    let thin = parse(&[
        ("class", "ssd"),
        ("pool", "tp"),
        ("chunk", "128Ki"),
        ("whenFull", "error"),
        ("reserve", "10%"),
        ("fs", "xfs"),
        ("mkfsOptions", "-m reflink=0  -K"),
        ("encryption", "luks2"),
        ("wipe", "delete"),
    ])
    .unwrap();
    let expected = Parameters {
        class: Some("ssd".to_owned()),
        vg: None,
        layout: Layout::Thin {
            pool: Some("tp".to_owned()),
            chunk: Some(128 << 10),
            when_full: Some(WhenFull::Error),
            reserve: Some(Reserve::Percent(10)),
        },
        fs: Some(Fs::Xfs),
        mkfs_options: ["-m", "reflink=0", "-K"].map(str::to_owned).to_vec(),
        encryption: Encryption::Luks2,
        wipe: Wipe::Delete,
    };
    assert_eq!(thin, expected);
    assert_eq!(
        thin.canonical(),
        "c=ssd:p=tp:k=128Ki:q=error:v=10%:f=xfs:m=-m reflink=0 -K:e=luks2:w=delete"
            .replace('%', "#25")
            .replace(' ', "#20")
    );
    assert_eq!(Parameters::from_canonical(&thin.canonical()), Ok(thin));
}

#[test]
fn layouts_follow_from_what_is_said() {
    let layout = |pairs: &[(&str, &str)]| parse(pairs).unwrap().layout;
    assert_eq!(layout(&[("thin", "false")]), Layout::Linear);
    assert_eq!(
        layout(&[("thin", "false"), ("stripes", "1")]),
        Layout::Linear
    );
    assert_eq!(layout(&[("stripes", "3")]), Layout::Striped { stripes: 3 });
    assert_eq!(
        layout(&[("raid", "raid1")]),
        Layout::Raid1 { integrity: false }
    );
    assert_eq!(
        layout(&[("raid", "raid5"), ("integrity", "true")]),
        Layout::Raid5 {
            stripes: 2,
            integrity: true
        }
    );
    assert!(layout(&[("raid", "none")]).is_thin());
}

#[test]
fn unknown_parameters_are_refused_with_those_that_are_known() {
    assert_eq!(
        refused(&[("colour", "red")]),
        "parameter colour \"red\": not a parameter of this driver: class, vg, thin, pool, raid, stripes, \
         integrity, chunk, fs, mkfsOptions, encryption, wipe, whenFull and reserve are known"
    );
}

#[test]
fn values_that_are_not_allowed_are_refused_with_those_that_are() {
    let name =
        "a name of LVM (1 to 127 letters, digits, '_', '.', '+' and '-', no '-' first) is allowed";
    let table = [
        ("thin", "yes", "true or false is allowed"),
        ("raid", "raid6", "none, raid1 or raid5 is allowed"),
        ("stripes", "33", "1 to 32 is allowed"),
        ("chunk", "65Ki", "a multiple of 64Ki up to 1Gi is allowed"),
        ("fs", "ntfs", "ext4, xfs or btrfs is allowed"),
        (
            "csi.storage.k8s.io/fstype",
            "ntfs",
            "ext4, xfs or btrfs is allowed",
        ),
        ("encryption", "true", "none or luks2 is allowed"),
        ("wipe", "always", "none or delete is allowed"),
        ("whenFull", "wait", "queue or error is allowed"),
        ("reserve", "91%", "0% to 90% or a size is allowed"),
        ("class", "", name),
        ("vg", "a/b", name),
        ("pool", "-p", name),
        (
            "mkfsOptions",
            "-J device=/dev/sda",
            "up to 200 bytes of words with no '/', quotes, control characters, -U or uuid (the driver gives \
             each file system its UUID) is allowed",
        ),
    ];
    for (key, value, allowed) in table {
        assert_eq!(
            refused(&[(key, value)]),
            format!("parameter {key} {value:?}: {allowed}")
        );
    }
}

#[test]
fn contradictions_are_refused_in_words() {
    let pool_decides = "a thin volume lies as its pool does: set thin to false, or leave this away";
    let no_pool = "only thin volumes have a pool: set thin to true, or leave this away";
    let table: [(&[(&str, &str)], String); 11] = [
        (
            &[("class", "a"), ("vg", "b")],
            "parameter vg \"b\": class names the volume group already: give class or vg, not both".to_owned(),
        ),
        (&[("thin", "true"), ("raid", "raid1")], format!("parameter raid \"raid1\": {pool_decides}")),
        (&[("thin", "true"), ("stripes", "2")], format!("parameter stripes \"2\": {pool_decides}")),
        (&[("thin", "true"), ("integrity", "true")], format!("parameter integrity \"true\": {pool_decides}")),
        (&[("raid", "raid1"), ("pool", "p")], format!("parameter pool \"p\": {no_pool}")),
        (&[("thin", "false"), ("whenFull", "queue")], format!("parameter whenFull \"queue\": {no_pool}")),
        (
            &[("raid", "raid1"), ("stripes", "2")],
            "parameter stripes \"2\": raid1 has two copies and no stripes: leave this away".to_owned(),
        ),
        (
            &[("raid", "raid5"), ("stripes", "1")],
            "parameter stripes \"1\": raid5 needs 2 to 32, and one disk more for parity".to_owned(),
        ),
        (
            &[("stripes", "2"), ("integrity", "true")],
            "parameter integrity \"true\": integrity needs raid1 or raid5, which can repair what it finds"
                .to_owned(),
        ),
        (
            &[("thin", "false"), ("chunk", "64Ki")],
            format!("parameter chunk \"64Ki\": {no_pool}"),
        ),
        (
            &[("fs", "xfs"), ("csi.storage.k8s.io/fstype", "ext4")],
            "parameter fs \"xfs\": csi.storage.k8s.io/fstype says ext4: both have to name the same".to_owned(),
        ),
    ];
    for (pairs, text) in table {
        assert_eq!(refused(pairs), text);
    }
}

#[test]
fn the_file_system_is_the_one_that_class_and_capabilities_agree_on() {
    let mount = |fs: &str| Access::mount(7, fs, Vec::new(), "").unwrap();
    let block = Access::block(7).unwrap();
    let fs = |class: Option<Fs>, accesses: &[Access]| {
        let parameters = Parameters {
            fs: class,
            ..Parameters::default()
        };
        parameters
            .for_accesses(accesses)
            .map(|parameters| parameters.fs)
    };
    assert_eq!(fs(None, &[mount("")]), Ok(Some(Fs::Ext4)));
    assert_eq!(
        fs(None, &[mount("btrfs"), block.clone()]),
        Ok(Some(Fs::Btrfs))
    );
    assert_eq!(fs(Some(Fs::Xfs), &[mount("")]), Ok(Some(Fs::Xfs)));
    assert_eq!(fs(Some(Fs::Xfs), &[block]), Ok(None));
    assert_eq!(
        fs(Some(Fs::Xfs), &[mount("ext4")]).unwrap_err().to_string(),
        "parameter fs \"xfs\": a capability asks for ext4: both have to name the same"
    );
}
