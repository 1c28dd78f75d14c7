//! Raw block, zeros, and limits.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use fairlead_csi_mount::{
    Access, Done, ErrorKind, Formatted, FsType, IoLimits, device_number, io_max, is_block,
    overwrite, publish_block, set_io_max, unpublish, wipe, zero,
};

use crate::lab::{Volume, sh};

pub(crate) fn run() -> Result<()> {
    let volume = Volume::new("block", "64m")?;
    let staged = volume.stage_as(Access::Block, None)?;
    ensure!(volume.tag.get() == Formatted::Raw && staged.device == volume.device);
    ensure!(volume.stage_as(Access::Block, None)?.already);
    published(&volume)?;
    let error = volume.stage(FsType::Ext4).expect_err("it is refused");
    ensure!(error.kind() == ErrorKind::Precondition, "{error}");
    zeros(&volume)?;
    limits(&volume)
}

fn published(volume: &Volume) -> Result<()> {
    let target = Path::new("/run/pod-block");
    ensure!(publish_block(&volume.device, target, false)? == Done::Now);
    ensure!(publish_block(&volume.device, target, false)? == Done::Already);
    ensure!(is_block(target)? && device_number(target)? == device_number(&volume.device)?);
    fs::OpenOptions::new()
        .write(true)
        .open(target)?
        .write_all_at(b"hello", 4096)?;
    let mut bytes = [0; 5];
    File::open(&volume.device)?.read_exact_at(&mut bytes, 4096)?;
    ensure!(&bytes == b"hello");
    let other = Volume::new("block-other", "64m")?;
    for (device, read_only) in [(&other.device, false), (&volume.device, true)] {
        let error = publish_block(device, target, read_only).expect_err("it is refused");
        ensure!(error.kind() == ErrorKind::Conflict, "{error}");
    }
    unpublish(target)?;
    ensure!(!target.exists());
    ensure!(publish_block(&volume.device, target, true)? == Done::Now);
    ensure!(publish_block(&volume.device, target, true)? == Done::Already);
    unpublish(target)?;
    unpublish(target).context("a second time")?;
    other.remove()
}

fn zeros(volume: &Volume) -> Result<()> {
    let fill = || sh("head -c 64M /dev/zero | tr '\\0' x >/dev/data/block && sync /dev/data/block");
    fill()?;
    zero(&volume.device, 1 << 20, 2 << 20)?;
    let bytes = fs::read(&volume.device)?;
    let (from, to) = (1 << 20, 3 << 20);
    ensure!(
        bytes[from..to].iter().all(|byte| *byte == 0),
        "the range is zeroed"
    );
    ensure!(
        bytes[..from]
            .iter()
            .chain(&bytes[to..])
            .all(|byte| *byte == b'x'),
        "nothing beside it"
    );
    overwrite(&volume.device, 8 << 20, 4096)?;
    let done = wipe(&volume.device, 0, &mut |_| true)?;
    ensure!(done == 64 << 20);
    ensure!(
        fs::read(&volume.device)?.iter().all(|byte| *byte == 0),
        "wiped"
    );
    Ok(())
}

fn limits(volume: &Volume) -> Result<()> {
    let root = sh("awk '$3 == \"cgroup2\" {print $2; exit}' /proc/mounts")?;
    let group = Path::new(&root).join("limited");
    sh(&format!(
        "echo +io >{root}/cgroup.subtree_control; mkdir -p {}",
        group.display()
    ))?;
    let number = device_number(&volume.device)?;
    ensure!(io_max(&group, number)? == IoLimits::default());
    let limits = IoLimits {
        write_bps: Some(5 << 20),
        read_iops: Some(77),
        ..IoLimits::default()
    };
    set_io_max(&group, number, &limits)?;
    ensure!(io_max(&group, number)? == limits);
    set_io_max(&group, number, &IoLimits::default())?;
    ensure!(io_max(&group, number)? == IoLimits::default());
    Ok(())
}
