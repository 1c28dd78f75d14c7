//! The guest's first process: makes its root, starts the agent, and reaps.
//!
//! The kernel starts it on this machine's root, mounted read only, and hands on what it does not know of its command
//! line as environment.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, chdir, chroot, sethostname};

/// Hidden subcommand: the guest's first process.
pub(crate) const INIT: &str = "init";
/// Environment: folder of the unpacked packages.
pub(crate) const PACKAGES: &str = "fl_packages";
/// Environment: folder that becomes the guest's /xchg.
pub(crate) const EXCHANGE: &str = "fl_exchange";

const LVM_CONF: &str = include_str!("lvm.conf");

/// The kernel's module cannot ask for these by itself while it starts.
const MODPROBE_CONF: &str = "softdep dm-crypt pre: cbc xts aes_generic\n";

/// Runs as the first process; returns only on errors.
pub(crate) fn run() -> Result<()> {
    root().context("making the guest's root")?;
    file_systems().context("mounting the guest's file systems")?;
    settings().context("the guest's settings")?;
    let agent = Command::new("/proc/self/exe")
        .arg(super::agent::AGENT)
        .env_clear()
        .spawn()
        .context("starting the agent")?;
    reap(Pid::from_raw(agent.id().cast_signed()));
    power_off()
}

/// Ends the machine at once.
pub(crate) fn power_off() -> Result<()> {
    nix::unistd::sync();
    reboot(RebootMode::RB_POWER_OFF).context("power off")?;
    Ok(())
}

/// An overlay: the packages, then this machine, both read only, and a tmpfs for what is written.
fn root() -> Result<()> {
    let packages = std::env::var(PACKAGES).context("the packages' folder")?;
    let exchange = std::env::var(EXCHANGE).context("the exchange folder")?;
    let place = |name: &str| Path::new("/tmp").join(name);
    file_system("tmpfs", "/tmp", Some("mode=755"))?;
    for name in ["upper", "work", "packages", "root"] {
        fs::create_dir(place(name))?;
    }
    // A mount of its own: one layer must not lie inside another one.
    file_system("hostfs", place("packages"), Some(&packages))?;
    module(&place("packages"), "fs/overlayfs/overlay.ko")?;
    module(&place("packages"), "drivers/md/dm-mod.ko")?;
    module(&place("packages"), "drivers/block/loop.ko")?;
    let layers = "lowerdir=/tmp/packages:/,upperdir=/tmp/upper,workdir=/tmp/work";
    file_system("overlay", place("root"), Some(layers))?;
    fs::create_dir_all("/tmp/root/xchg")?;
    file_system("hostfs", "/tmp/root/xchg", Some(&exchange))?;
    chdir("/tmp/root")?;
    mount(Some("."), "/", None::<&str>, MsFlags::MS_MOVE, None::<&str>)
        .context("moving the root")?;
    chroot(".").context("chroot")?;
    chdir("/")?;
    Ok(())
}

fn file_systems() -> Result<()> {
    file_system("proc", "/proc", None)?;
    file_system("sysfs", "/sys", None)?;
    file_system("devtmpfs", "/dev", Some("mode=755"))?;
    for folder in ["/dev/pts", "/dev/shm", "/dev/mapper"] {
        fs::create_dir_all(folder)?;
    }
    file_system("devpts", "/dev/pts", None)?;
    file_system("tmpfs", "/dev/shm", None)?;
    file_system("tmpfs", "/run", Some("mode=755"))?;
    fs::create_dir_all("/run/lock/lvm")?;
    file_system("cgroup2", "/sys/fs/cgroup", None)?;
    Ok(())
}

fn settings() -> Result<()> {
    fs::create_dir_all("/etc/lvm")?;
    fs::write("/etc/lvm/lvm.conf", LVM_CONF)?;
    fs::create_dir_all("/etc/modprobe.d")?;
    fs::write("/etc/modprobe.d/fairlead-vm.conf", MODPROBE_CONF)?;
    fs::create_dir_all("/root")?;
    sethostname("vm")?;
    let controllers = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")?;
    for controller in controllers.split_whitespace() {
        fs::write(
            "/sys/fs/cgroup/cgroup.subtree_control",
            format!("+{controller}"),
        )?;
    }
    Ok(())
}

fn file_system(kind: &str, at: impl AsRef<Path>, options: Option<&str>) -> Result<()> {
    let at = at.as_ref();
    mount(Some(kind), at, Some(kind), MsFlags::empty(), options)
        .with_context(|| format!("{kind} at {}", at.display()))
}

/// Loads a module that needs no other one.
fn module(packages: &Path, name: &str) -> Result<()> {
    let release = fs::read_dir(packages.join("usr/lib/uml/modules"))?
        .next()
        .context("no modules")??
        .path();
    let path = release.join("kernel").join(name);
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    finit_module(&file, c"", ModuleInitFlags::empty())
        .with_context(|| format!("loading {}", path.display()))
}

/// Takes care of processes without parents until the agent ends.
fn reap(agent: Pid) {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(id, _) | WaitStatus::Signaled(id, ..)) if id == agent => return,
            Err(nix::errno::Errno::ECHILD) => return,
            _ => {}
        }
    }
}
