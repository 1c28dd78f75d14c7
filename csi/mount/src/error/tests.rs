use super::*;

type Case = (MountError, ErrorKind, &'static str);

fn device() -> PathBuf {
    PathBuf::from("/dev/vg/lv")
}

fn io(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn check(cases: Vec<Case>) {
    for (error, kind, words) in cases {
        assert_eq!(error.to_string(), words);
        assert_eq!(error.kind(), kind, "{words}");
    }
}

#[test]
fn refusals_name_object_value_and_what_to_do() {
    let holder = Holder {
        pid: 7,
        name: "postgres".to_owned(),
        what: "/data/base".to_owned(),
    };
    check(vec![
        (
            MountError::Busy {
                operation: "unmount",
                object: device(),
                holders: vec![holder],
            },
            ErrorKind::Busy,
            "cannot unmount /dev/vg/lv: it is in use by process 7 (postgres) with /data/base",
        ),
        (
            MountError::Busy {
                operation: "close",
                object: device(),
                holders: vec![],
            },
            ErrorKind::Busy,
            "cannot close /dev/vg/lv: it is in use by a process that is not visible from here, or a \
             mount below it",
        ),
        (
            MountError::WrongKey { device: device() },
            ErrorKind::Precondition,
            "the secret does not open /dev/vg/lv: a volume made from a snapshot or another volume keeps \
             the key of its source; give the secret of the source",
        ),
        (
            MountError::KeyNeeded {
                mapping: "fl-luks-x".to_owned(),
                secret: "passphrase",
            },
            ErrorKind::Precondition,
            "cannot grow fl-luks-x without its key: give the secret \"passphrase\" with the request, \
             or stage the volume again",
        ),
        (
            MountError::Conflict {
                target: device(),
                found: "a".to_owned(),
                wanted: "b".to_owned(),
            },
            ErrorKind::Conflict,
            "/dev/vg/lv has a mounted, not b: end its use by another call first",
        ),
        (
            MountError::Refused {
                device: device(),
                why: "it is not ours".to_owned(),
            },
            ErrorKind::Precondition,
            "/dev/vg/lv is left alone: it is not ours",
        ),
    ]);
}

#[test]
fn failures_name_operation_object_and_cause() {
    check(vec![
        (
            MountError::NotFound {
                operation: "open",
                path: device(),
            },
            ErrorKind::NotFound,
            "cannot open /dev/vg/lv: it does not exist",
        ),
        (
            MountError::Io {
                operation: "probe",
                object: device(),
                source: io(5),
            },
            ErrorKind::Internal,
            "cannot probe /dev/vg/lv: Input/output error (os error 5)",
        ),
        (
            MountError::Mount {
                device: device(),
                target: "/mnt".into(),
                fs: FsType::Xfs,
                options: "rw".to_owned(),
                source: io(22),
                words: "see dmesg".to_owned(),
            },
            ErrorKind::Internal,
            "cannot mount /dev/vg/lv as xfs at /mnt with \"rw\": Invalid argument (os error 22) (see \
             dmesg)",
        ),
        (
            MountError::Record {
                device: device(),
                source: "no VG".into(),
            },
            ErrorKind::Internal,
            "cannot record that /dev/vg/lv is formatted: no VG",
        ),
        (
            MountError::TooSmall {
                fs: FsType::Xfs,
                device: device(),
                size: 1,
                minimum: 2,
            },
            ErrorKind::OutOfRange,
            "xfs needs at least 2 bytes and /dev/vg/lv has 1: ask for a larger volume",
        ),
        (
            MountError::Program {
                program: "mkfs.xfs",
                object: device(),
                status: "exit code 1".to_owned(),
                words: "no".to_owned(),
            },
            ErrorKind::Internal,
            "mkfs.xfs of /dev/vg/lv failed with exit code 1: no",
        ),
    ]);
}
