//! Format, mount, again, grow, busy, unmount, mount.

use std::fs::{self, File};

use anyhow::{Context, Result, ensure};
use fairlead_csi_mount::{
    Done, ErrorKind, FsType, MountError, MountOptions, Mounts, Tools, Uuid, XFS_RETRY_SECONDS,
    device_number, device_size, grow, probe, publish_mount, unpublish,
};

use crate::lab::{Volume, check, read_only, sh, write};

pub(crate) fn run(fs: FsType) -> Result<()> {
    let volume = Volume::new("life", "400m")?;
    first_stage(&volume, fs)?;
    published(&volume)?;
    grown(&volume, fs)?;
    busy(&volume)?;
    volume.unstage()?;
    ensure!(
        Mounts::read()?.at(&volume.target()).is_none(),
        "still mounted"
    );
    volume.unstage().context("a second time")?;
    // What is still in the log has to come back.
    volume.stage(fs)?;
    check(&volume.target(), "a", 1, 3_000_000)?;
    check(&volume.target(), "late", 2, 70_000)?;
    ensure!(
        volume.noted.get() == 2,
        "the tag was written {} times",
        volume.noted.get()
    );
    volume.unstage()?;
    read_only_stage(&volume, fs)?;
    too_small(fs)
}

fn first_stage(volume: &Volume, fs: FsType) -> Result<()> {
    ensure!(
        probe(&volume.device)?.is_blank(),
        "a new thin volume is blank"
    );
    let staged = volume.stage(fs)?;
    ensure!(
        !staged.already && staged.device == volume.device,
        "{staged:?}"
    );
    let seen = probe(&volume.device)?;
    let found = seen.file_system(fs).context("no file system")?;
    ensure!(found.uuid == Some(Uuid::derived(&volume.uuid)), "{found}");
    write(&volume.target(), "a", 1, 3_000_000)?;
    ensure!(volume.stage(fs)?.already, "a second stage does nothing");
    let error = volume
        .stage_with(fs, &read_only(), None)
        .expect_err("it is refused");
    ensure!(error.kind() == ErrorKind::Conflict, "{error}");
    if fs == FsType::Xfs {
        let name = format!("/sys/dev/block/{}", device_number(&volume.device)?);
        let name = sh(&format!("basename $(readlink -f {name})"))?;
        let value = |file: &str| fs::read_to_string(format!("/sys/fs/xfs/{name}/error/{file}"));
        let eio = value("metadata/EIO/retry_timeout_seconds")?;
        ensure!(eio.trim() == XFS_RETRY_SECONDS.to_string(), "{eio}");
        ensure!(value("metadata/ENOSPC/retry_timeout_seconds")?.trim() == eio.trim());
        ensure!(value("fail_at_unmount")?.trim() == "1");
    }
    Ok(())
}

fn published(volume: &Volume) -> Result<()> {
    let staged = volume.target();
    let (one, two) = (
        staged.with_file_name("pod one"),
        staged.with_file_name("pod-two"),
    );
    let options = MountOptions::parse(&["noexec".to_owned()])?;
    ensure!(publish_mount(&staged, &one, false, &options)? == Done::Now);
    ensure!(publish_mount(&staged, &one, false, &options)? == Done::Already);
    ensure!(publish_mount(&staged, &two, true, &options)? == Done::Now);
    ensure!(publish_mount(&staged, &two, true, &options)? == Done::Already);
    let error = publish_mount(&staged, &two, false, &options).expect_err("it is refused");
    ensure!(error.kind() == ErrorKind::Conflict, "{error}");
    check(&two, "a", 1, 3_000_000)?;
    let error = File::create(two.join("b")).expect_err("it is refused");
    ensure!(error.raw_os_error() == Some(30), "EROFS, not {error}");
    write(&one, "by-pod", 3, 1000)?;
    let mounts = Mounts::read()?;
    ensure!(mounts.at(&one).context("one")?.options.contains("noexec"));
    ensure!(mounts.of_device(device_number(&volume.device)?).count() == 3);
    let missing = publish_mount(&staged.with_file_name("gone"), &one, false, &options)
        .expect_err("it is refused");
    ensure!(missing.kind() == ErrorKind::NotFound, "{missing}");
    for path in [&one, &two] {
        unpublish(path)?;
        ensure!(!path.exists(), "the path is removed");
        unpublish(path).context("a second time")?;
    }
    Ok(())
}

fn grown(volume: &Volume, fs: FsType) -> Result<()> {
    let before = volume.size()?;
    sh("lvextend -q -L 700m data/life")?;
    let target = volume.target();
    let size = grow(
        &Tools::default(),
        &volume.device,
        &volume.uuid,
        Some(&target),
        None,
    )?;
    ensure!(
        size == device_size(&volume.device)? && size == 700 << 20,
        "{size}"
    );
    let after = volume.size()?;
    ensure!(
        after > before + (250 << 20),
        "{fs} grew from {before} to {after}"
    );
    let again = grow(
        &Tools::default(),
        &volume.device,
        &volume.uuid,
        Some(&target),
        None,
    )?;
    ensure!(again == size && volume.size()? == after);
    check(&target, "a", 1, 3_000_000)
}

fn busy(volume: &Volume) -> Result<()> {
    let path = volume.target().join("held");
    let held = File::create(&path)?;
    let error = volume.unstage().expect_err("it is refused");
    let MountError::Busy { holders, .. } = &error else {
        anyhow::bail!("{error}")
    };
    let own = i32::try_from(std::process::id())?;
    ensure!(holders.iter().any(|holder| holder.pid == own), "{error}");
    ensure!(error.to_string().contains("/run/life/held"), "{error}");
    drop(held);
    write(&volume.target(), "late", 2, 70_000)
}

fn read_only_stage(volume: &Volume, fs: FsType) -> Result<()> {
    volume.stage_with(fs, &read_only(), None)?;
    ensure!(volume.stage_with(fs, &read_only(), None)?.already);
    check(&volume.target(), "a", 1, 3_000_000)?;
    ensure!(
        File::create(volume.target().join("b")).is_err(),
        "it is read-only"
    );
    volume.unstage()?;
    Ok(())
}

fn too_small(fs: FsType) -> Result<()> {
    let small = Volume::new("small", "4m")?;
    let error = small.stage(fs).expect_err("it is refused");
    ensure!(error.kind() == ErrorKind::OutOfRange, "{error}");
    small.remove()?;
    let minimum = fs.minimum_size();
    let least = Volume::new("least", &format!("{minimum}b"))?;
    least.stage(fs).context("the minimum is enough")?;
    write(&least.target(), "a", 4, 1_000_000)?;
    least.unstage()?;
    least.remove()
}
