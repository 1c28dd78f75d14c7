//! What somebody else has written, and what cannot be read.

use anyhow::{Result, ensure};
use fairlead_csi_mount::{ErrorKind, Formatted, FsType, Mounts};

use crate::lab::{Volume, sh};

pub(crate) fn run() -> Result<()> {
    unreadable()?;
    foreign()?;
    damaged()
}

/// By hand, on a volume that was never formatted.
fn foreign() -> Result<()> {
    let makers = [
        ("mkfs.ext4 -q", "ext4"),
        ("mkfs.xfs -q", "xfs"),
        ("mkfs.btrfs -q", "btrfs"),
        ("mkswap", "swap space"),
        (
            "pvcreate -q --config 'devices{scan_lvs=1 filter=[\"a|.*|\"]}'",
            "an LVM physical volume",
        ),
        (
            "cryptsetup -q luksFormat --type luks1 --iter-time 10 --key-file /etc/passwd",
            "LUKS1",
        ),
        ("bash -c 'printf text >$0'", "bytes of unknown origin"),
    ];
    for (maker, name) in makers {
        let volume = Volume::new("foreign", "320m")?;
        sh(&format!(
            "{maker} /dev/data/foreign >/dev/null 2>&1 || {maker} /dev/data/foreign"
        ))?;
        let before = sh("md5sum </dev/data/foreign")?;
        for fs in FsType::ALL {
            let error = volume.stage(fs).expect_err("it is refused");
            ensure!(error.kind() == ErrorKind::Precondition, "{maker}: {error}");
            ensure!(
                error
                    .to_string()
                    .contains(&format!("the device shows {name} at byte")),
                "{error}"
            );
        }
        ensure!(
            sh("md5sum </dev/data/foreign")? == before,
            "{maker}: nothing was changed"
        );
        ensure!(volume.noted.get() == 0);
        volume.remove()?;
    }
    Ok(())
}

/// The tag says formatted, the device does not: it stays as it is.
fn damaged() -> Result<()> {
    let volume = Volume::new("damaged", "320m")?;
    volume.stage(FsType::Ext4)?;
    volume.unstage()?;
    let error = volume.stage(FsType::Xfs).expect_err("it is refused");
    ensure!(
        error
            .to_string()
            .ends_with("and xfs was asked for; ask for ext4"),
        "{error}"
    );
    sh("dd if=/dev/zero of=/dev/data/damaged bs=1M count=4 conv=fsync,notrunc status=none")?;
    let error = volume.stage(FsType::Ext4).expect_err("it is refused");
    ensure!(
        error.to_string().contains("it is not formatted again"),
        "{error}"
    );
    volume.remove()
}

/// A device whose first or last part gives errors is never blank.
fn unreadable() -> Result<()> {
    let tables = ["0 655360 error", "0 655000 zero\n655000 360 error"];
    for table in tables {
        sh(&format!(
            "dmsetup create --noudevsync bad <<<'{table}'; dmsetup mknodes bad"
        ))?;
        let volume = Volume {
            name: "bad".to_owned(),
            uuid: "bad".to_owned(),
            device: "/dev/mapper/bad".into(),
            tag: Formatted::Never.into(),
            noted: 0.into(),
        };
        let error = volume.stage(FsType::Ext4).expect_err("it is refused");
        ensure!(error.kind() == ErrorKind::Internal, "{error}");
        ensure!(
            error
                .to_string()
                .starts_with("cannot probe /dev/mapper/bad: "),
            "{error}"
        );
        ensure!(Mounts::read()?.at(&volume.target()).is_none());
        sh("dmsetup remove --noudevsync bad")?;
    }
    Ok(())
}
