//! A first stage that is killed at random instants, by another process that has nothing but the tag.

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fairlead_csi_mount::{Access, Formatted, FsType, Key, MkfsOptions, MountOptions};

use crate::guest::CASE;
use crate::lab::{Volume, check, sh, write};

const ROUNDS: u32 = 12;

fn parameters(what: &str) -> Result<(FsType, Option<Key>)> {
    if what.starts_with("encrypted") {
        return Ok((FsType::Ext4, Some(Key::new(b"not a secret".to_vec())?)));
    }
    Ok((what.parse()?, None))
}

/// The process that is killed: stages the volume, whose tag is in a file.
pub(crate) fn stage_once(what: &str) -> Result<()> {
    let (fs, key) = parameters(what)?;
    let volume = Volume::known("killed", Formatted::Never)?;
    volume.stage_with(fs, &MountOptions::default(), key.as_ref())?;
    Ok(())
}

pub(crate) fn run(what: &str) -> Result<()> {
    let (fs, key) = parameters(what)?;
    if what == "ext4" {
        nameless()?;
    }
    let whole = undisturbed(fs, key.as_ref())?;
    let mut killed = 0;
    // The password hash takes its second, several times a round.
    let rounds = if key.is_some() { ROUNDS / 3 } else { ROUNDS };
    for round in 0..rounds {
        let volume = Volume::new("killed", "400m")?;
        let after = whole.mul_f64(f64::from(round) / f64::from(rounds) * 1.1);
        let mut child = Command::new(env::current_exe()?)
            .args(["--exact", "guest::run", "--ignored"])
            .env(CASE, format!("stage-once {what}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        thread::sleep(after + Duration::from_micros(fastrand::u64(..5_000)));
        child.kill()?;
        killed += u32::from(!child.wait()?.success());
        volume.unstage_all()?;
        volume.read_tag(&[Formatted::Begun, Formatted::As(fs)])?;
        let seen = fairlead_csi_mount::probe(&volume.device)?;
        volume
            .stage_with(fs, &MountOptions::default(), key.as_ref())
            .with_context(|| format!("after a kill at {after:?}, where the device shows {seen}"))?;
        write(&volume.target(), "a", 1, 1_000_000)?;
        check(&volume.target(), "a", 1, 1_000_000)?;
        volume.unstage()?;
        volume.remove()?;
    }
    ensure!(
        killed > rounds / 3,
        "only {killed} of {rounds} were killed in time"
    );
    Ok(())
}

fn undisturbed(fs: FsType, key: Option<&Key>) -> Result<Duration> {
    let volume = Volume::new("whole", "400m")?;
    let start = Instant::now();
    let access = Access::Mount {
        fs,
        mkfs: &MkfsOptions::default(),
        options: &MountOptions::default(),
        target: &volume.target(),
    };
    volume.stage_as(access, key)?;
    let whole = start.elapsed();
    volume.unstage()?;
    volume.remove()?;
    Ok(whole)
}

/// `mkfs.ext4` writes the group descriptors before the superblock, and may die between.
fn nameless() -> Result<()> {
    let volume = Volume::new("nameless", "100m")?;
    sh(&format!(
        "head -c 512 /dev/urandom | dd of={} bs=512 seek=4 conv=fsync status=none",
        volume.device.display()
    ))?;
    ensure!(volume.stage(FsType::Ext4).is_err(), "somebody else's bytes");
    volume.tag.set(Formatted::Begun);
    volume.stage(FsType::Ext4)?;
    ensure!(volume.tag.get() == Formatted::As(FsType::Ext4));
    volume.unstage()?;
    volume.remove()
}

impl Volume {
    fn unstage_all(&self) -> Result<()> {
        // The kernel kills what the dead process has started; wait until it has.
        let deadline = Instant::now() + Duration::from_secs(20);
        while !sh("pgrep '^(mkfs|cryptsetup|mke2fs)' || true")?.is_empty() {
            ensure!(
                Instant::now() < deadline,
                "a program of a dead process goes on"
            );
            thread::sleep(Duration::from_millis(20));
        }
        let mounted = fairlead_csi_mount::Mounts::read()?
            .at(&self.target())
            .is_some();
        if mounted {
            self.unstage()?;
        }
        Ok(())
    }
}
