//! What a host starts at boot that LVM works with: udev and dmeventd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const PORTS: &str = "/sys/class/virtio-ports";

/// Starts them, and waits until every disk has its links and what of LVM is complete is active.
pub(super) fn start() -> Result<()> {
    run("/usr/lib/systemd/systemd-udevd", &["--daemon"])?;
    // The devices that were there before: of others than disks nobody asks here.
    run(
        "/usr/bin/udevadm",
        &["trigger", "--action=add", "--subsystem-match=block"],
    )?;
    run("/usr/bin/udevadm", &["settle", "--timeout=300"])?;
    run("/usr/sbin/dmeventd", &[])
}

/// The line to the caller: the only port.
pub(super) fn line() -> Result<PathBuf> {
    let port = fs::read_dir(PORTS)
        .context(PORTS)?
        .next()
        .context("no port")??;
    Ok(Path::new("/dev").join(port.file_name()))
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .status()
        .with_context(|| format!("starting {program}"))?;
    ensure!(status.success(), "{program} ends with {status}");
    Ok(())
}
