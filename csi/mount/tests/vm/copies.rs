//! Snapshots and clones, taken while the source is written to, mounted beside it.

use std::fs::File;

use anyhow::{Context, Result, ensure};
use fairlead_csi_mount::{Formatted, FsType, MountOptions, Uuid, mount_device, probe};

use crate::lab::{Volume, check, read_only, sh, write};

const FILES: u8 = 40;

pub(crate) fn run(fs: FsType) -> Result<()> {
    let source = Volume::new("source", "400m")?;
    source.stage(fs)?;
    // Many small fsyncs and no unmount: what they wrote is in the log only.
    for number in 0..FILES {
        write(
            &source.target(),
            &format!("file-{number}"),
            number,
            5_000 + usize::from(number),
        )?;
    }
    let clone = Volume::copy_of(&source, "clone")?;
    duplicate(&clone, fs)?;
    let restored = Volume::copy_of(&source, "restored")?;
    let larger = Volume::copy_of(&source, "larger")?;
    write(&source.target(), "file-0", 99, 5_000).context("the source goes on")?;

    beside(&clone, fs)?;
    let again = Volume::copy_of(&clone, "again")?;
    beside(&again, fs)?;
    read_only_restore(&restored, fs)?;

    sh("lvextend -q -L 700m data/larger")?;
    larger.stage(fs)?;
    all_there(&larger)?;
    ensure!(
        larger.size()? > source.size()? + (200 << 20),
        "a larger copy is filled"
    );
    larger.unstage()?;
    let copy = Volume::copy_of(&source, "copy")?;
    sh("lvextend -q -L 600m data/copy")?;
    copy.stage_with(fs, &read_only(), None)?;
    ensure!(
        copy.size()? > source.size()? + (100 << 20),
        "also when it is read-only"
    );
    copy.unstage()?;

    check(&source.target(), "file-0", 99, 5_000)?;
    for volume in [&again, &clone, &source] {
        volume.unstage()?;
    }
    sound(&clone, fs)?;
    clone.stage(fs)?;
    check(&clone.target(), "own", 7, 100_000)?;
    clone.unstage()?;
    Ok(())
}

fn all_there(volume: &Volume) -> Result<()> {
    for number in 0..FILES {
        let name = format!("file-{number}");
        check(&volume.target(), &name, number, 5_000 + usize::from(number))?;
    }
    Ok(())
}

/// Without care the kernel refuses (xfs, btrfs) what it has mounted already.
fn duplicate(clone: &Volume, fs: FsType) -> Result<()> {
    if fs == FsType::Xfs {
        let mounted = mount_device(&clone.device, &clone.target(), fs, &MountOptions::default());
        ensure!(mounted.is_err(), "a duplicate UUID was mounted");
    }
    Ok(())
}

fn beside(clone: &Volume, fs: FsType) -> Result<()> {
    ensure!(clone.tag.get() == Formatted::Copied(fs));
    clone.stage(fs)?;
    ensure!(clone.tag.get() == Formatted::As(fs), "the tag is written");
    let found = probe(&clone.device)?;
    let uuid = found.file_system(fs).context("no file system")?.uuid;
    // XFS keeps its source's, and is mounted with `nouuid`.
    ensure!(
        (uuid == Some(Uuid::derived(&clone.uuid))) == (fs != FsType::Xfs),
        "its UUID: {found}"
    );
    all_there(clone)?;
    write(&clone.target(), "own", 7, 100_000)?;
    ensure!(clone.stage(fs)?.already);
    Ok(())
}

fn read_only_restore(restored: &Volume, fs: FsType) -> Result<()> {
    restored.stage_with(fs, &read_only(), None)?;
    all_there(restored)?;
    ensure!(
        File::create(restored.target().join("b")).is_err(),
        "it is read-only"
    );
    restored.unstage()?;
    Ok(())
}

/// What the file system's own checker says, which changes nothing.
fn sound(volume: &Volume, fs: FsType) -> Result<()> {
    let device = volume.device.display();
    sh(&match fs {
        FsType::Ext4 => format!("e2fsck -fn {device}"),
        FsType::Xfs => format!("xfs_repair -n {device}"),
        FsType::Btrfs => format!("btrfs check --readonly {device}"),
    })?;
    Ok(())
}
