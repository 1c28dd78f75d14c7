//! LUKS2: its life, growing with and without the secret, copies, and where the key is not.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fairlead_csi_mount::{
    Access, ErrorKind, FsType, Key, LUKS_HEADER, MountOptions, Tools, Uuid, device_size, grow,
    is_luks_open, luks_add_key, luks_name, probe, unstage,
};

use crate::lab::{Volume, check, sh, write};

const SECRET: &str = "Zx9-the-secret-of-this-test\n";

fn key(text: &str) -> Key {
    Key::new(text.as_bytes().to_vec()).expect("it works")
}

pub(crate) fn run() -> Result<()> {
    let volume = Volume::new("crypt", "416m")?;
    watched(|| first(&volume))?;
    grown(&volume)?;
    copied(&volume)?;
    volume.unstage()?;
    ensure!(is_luks_open(&volume.uuid)?.is_none(), "still open");
    changed_key(&volume)?;
    block()
}

fn first(volume: &Volume) -> Result<()> {
    let options = MountOptions::default();
    let staged = volume.stage_with(FsType::Xfs, &options, Some(&key(SECRET)))?;
    ensure!(
        staged.device.ends_with(luks_name(&volume.uuid)),
        "{staged:?}"
    );
    let lv = device_size(&volume.device)?;
    ensure!(
        device_size(&staged.device)? == lv - LUKS_HEADER,
        "the header has its stated size"
    );
    let seen = probe(&volume.device)?;
    ensure!(
        seen.luks().context("no LUKS")?.uuid == Some(Uuid::derived(&volume.uuid)),
        "{seen}"
    );
    write(&volume.target(), "a", 1, 2_000_000)?;
    ensure!(
        volume
            .stage_with(FsType::Xfs, &options, Some(&key(SECRET)))?
            .already
    );
    volume.unstage()?;
    let error = volume
        .stage_with(FsType::Xfs, &options, Some(&key("Qv3-not-it")))
        .expect_err("it is refused");
    ensure!(error.kind() == ErrorKind::Precondition, "{error}");
    ensure!(
        error.to_string().contains("give the secret of the source"),
        "{error}"
    );
    ensure!(
        !format!("{error} {error:?}").contains("Qv3"),
        "the key is in the error"
    );
    ensure!(volume.stage(FsType::Xfs).is_err(), "without a key");
    volume.stage_with(FsType::Xfs, &options, Some(&key(SECRET)))?;
    check(&volume.target(), "a", 1, 2_000_000)
}

fn grown(volume: &Volume) -> Result<()> {
    let target = volume.target();
    sh("lvextend -q -L 516m data/crypt")?;
    let size = grow(
        &Tools::default(),
        &volume.device,
        &volume.uuid,
        Some(&target),
        None,
    )?;
    ensure!(size == 500 << 20, "without the secret: {size}");
    sh("lvextend -q -L 616m data/crypt")?;
    let secret = key(SECRET);
    let size = grow(
        &Tools::default(),
        &volume.device,
        &volume.uuid,
        Some(&target),
        Some(&secret),
    )?;
    ensure!(
        size == 600 << 20 && volume.size()? > 500 << 20,
        "with the secret: {size}"
    );
    // Opened by hand as cryptsetup does it by default, the kernel's keyring has the key.
    volume.unstage()?;
    let name = luks_name(&volume.uuid);
    sh(&format!(
        "printf '{SECRET}' | cryptsetup open --key-file - /dev/data/crypt {name}"
    ))?;
    sh("lvextend -q -L 716m data/crypt")?;
    let grown = grow(&Tools::default(), &volume.device, &volume.uuid, None, None);
    match grown {
        Ok(size) => ensure!(
            size == 700 << 20,
            "this kernel has no keyring, so it grows: {size}"
        ),
        Err(error) => {
            ensure!(error.kind() == ErrorKind::Precondition, "{error}");
            let words =
                format!("cannot grow {name} without its key: give the secret \"passphrase\"");
            ensure!(error.to_string().starts_with(&words), "{error}");
            let size = grow(
                &Tools::default(),
                &volume.device,
                &volume.uuid,
                None,
                Some(&secret),
            )?;
            ensure!(size == 700 << 20, "{size}");
        }
    }
    volume.stage_with(FsType::Xfs, &MountOptions::default(), Some(&secret))?;
    ensure!(volume.size()? > 600 << 20, "stage fills what has grown");
    Ok(())
}

fn copied(volume: &Volume) -> Result<()> {
    let clone = Volume::copy_of(volume, "crypt-clone")?;
    let options = MountOptions::default();
    let error = clone
        .stage_with(FsType::Xfs, &options, Some(&key("Qv3-not-it")))
        .expect_err("it is refused");
    ensure!(error.kind() == ErrorKind::Precondition, "{error}");
    clone.stage_with(FsType::Xfs, &options, Some(&key(SECRET)))?;
    check(&clone.target(), "a", 1, 2_000_000)?;
    let seen = probe(&clone.device)?;
    ensure!(
        seen.luks().context("no LUKS")?.uuid == Some(Uuid::derived(&clone.uuid)),
        "{seen}"
    );
    clone.unstage()?;
    clone.remove()
}

fn changed_key(volume: &Volume) -> Result<()> {
    luks_add_key(
        &Tools::default(),
        &volume.device,
        &key(SECRET),
        &key("second"),
    )?;
    volume.stage_with(FsType::Xfs, &MountOptions::default(), Some(&key("second")))?;
    check(&volume.target(), "a", 1, 2_000_000)?;
    volume.unstage()?;
    Ok(())
}

fn block() -> Result<()> {
    let volume = Volume::new("crypt-block", "64m")?;
    let secret = key(SECRET);
    let staged = volume.stage_as(Access::Block, Some(&secret))?;
    fs::write(&staged.device, b"content of a block device")?;
    ensure!(volume.stage_as(Access::Block, Some(&secret))?.already);
    unstage(&Tools::default(), &volume.uuid, None)?;
    let staged = volume.stage_as(Access::Block, Some(&secret))?;
    ensure!(fs::read(&staged.device)?.starts_with(b"content of a block device"));
    unstage(&Tools::default(), &volume.uuid, None)?;
    volume.remove()
}

/// Runs this while all command lines and environments are watched for the key.
fn watched(work: impl FnOnce() -> Result<()>) -> Result<()> {
    let done = AtomicBool::new(false);
    let (seen, result) = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut programs = 0;
            while !done.load(Ordering::Relaxed) {
                programs += look();
                thread::sleep(Duration::from_millis(2));
            }
            programs
        });
        let result = work();
        done.store(true, Ordering::Relaxed);
        (watch.join(), result)
    });
    result?;
    let seen = seen.expect("the key is in a command line or environment");
    ensure!(seen > 0, "no cryptsetup was seen");
    ensure!(
        !sh("dmesg; ls -R /run /tmp 2>/dev/null || true")?.contains("Zx9"),
        "it is in a log"
    );
    Ok(())
}

fn look() -> u32 {
    let mut programs = 0;
    for process in fs::read_dir("/proc").expect("it works").flatten() {
        for file in ["cmdline", "environ"] {
            let text = fs::read(process.path().join(file)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert!(!text.contains("Zx9-the-secret"), "{text}");
            programs += u32::from(text.contains("cryptsetup"));
        }
    }
    programs
}
