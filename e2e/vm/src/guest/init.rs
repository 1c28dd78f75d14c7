//! The guest's first process: makes its root, starts the agent, and reaps.
//!
//! The kernel, or the initial file system of a host, starts it on this machine's root, mounted read only. What the
//! kernel does not know of its command line is environment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, chdir, chroot, sethostname};

use super::{agent, host};

/// Hidden subcommand: the guest's first process.
pub(crate) const INIT: &str = "init";
/// Environment: this is a host. Folders of the machine around it are mounted by name from qemu.
pub(crate) const HOST: &str = "fl_host";
/// Environment: this program, for the initial file system of a host.
pub(crate) const PROGRAM: &str = "fl_program";
/// Environment: folder of the unpacked packages.
pub(crate) const PACKAGES: &str = "fl_packages";
/// Environment: folder that becomes the guest's /xchg.
pub(crate) const EXCHANGE: &str = "fl_exchange";

const LVM_CONF: &str = include_str!("lvm.conf");

/// The kernel's module cannot ask for these by itself while it starts.
const MODPROBE_CONF: &str = "softdep dm-crypt pre: cbc xts aes_generic\n";

/// Runs as the first process; returns only on errors.
pub(crate) fn run() -> Result<()> {
    let is_host = std::env::var_os(HOST).is_some();
    root(is_host).context("making the guest's root")?;
    file_systems().context("mounting the guest's file systems")?;
    settings().context("the guest's settings")?;
    let line = if is_host {
        host::start().context("what a host starts")?;
        host::line().context("the line to the caller")?
    } else {
        fs::write("/etc/lvm/lvm.conf", LVM_CONF)?;
        PathBuf::from("/dev/ttyS0")
    };
    let agent = Command::new("/proc/self/exe")
        .arg(agent::AGENT)
        .arg(line)
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
fn root(is_host: bool) -> Result<()> {
    let packages = std::env::var(PACKAGES).context("the packages' folder")?;
    let exchange = std::env::var(EXCHANGE).context("the exchange folder")?;
    let place = |name: &str| Path::new("/tmp").join(name);
    file_system("tmpfs", "/tmp", Some("mode=755"))?;
    for name in ["upper", "work", "packages", "root"] {
        fs::create_dir(place(name))?;
    }
    // A mount of its own: one layer must not lie inside another one.
    if is_host {
        // What is read stays in memory: nothing changes below it.
        share(&packages, &place("packages"), "cache=loose")?;
    } else {
        file_system("hostfs", place("packages"), Some(&packages))?;
        for name in [
            "fs/overlayfs/overlay",
            "drivers/md/dm-mod",
            "drivers/block/loop",
        ] {
            module(&place("packages"), name)?;
        }
    }
    let layers = "lowerdir=/tmp/packages:/,upperdir=/tmp/upper,workdir=/tmp/work";
    file_system("overlay", place("root"), Some(layers))?;
    fs::create_dir_all("/tmp/root/xchg")?;
    if is_host {
        share(&exchange, Path::new("/tmp/root/xchg"), "cache=none")?;
    } else {
        file_system("hostfs", "/tmp/root/xchg", Some(&exchange))?;
    }
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
    fs::create_dir_all("/run/lvm")?;
    file_system("cgroup2", "/sys/fs/cgroup", None)?;
    Ok(())
}

fn settings() -> Result<()> {
    fs::create_dir_all("/etc/lvm")?;
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

/// Mounts a folder that qemu shows.
fn share(tag: &str, at: &Path, cache: &str) -> Result<()> {
    let options = format!("trans=virtio,version=9p2000.L,msize=524288,{cache}");
    let none = MsFlags::empty();
    mount(Some(tag), at, Some("9p"), none, Some(options.as_str()))
        .with_context(|| format!("{tag} at {}", at.display()))
}

/// Loads a module that needs no other one.
fn module(packages: &Path, name: &str) -> Result<()> {
    let release = fs::read_dir(packages.join("usr/lib/uml/modules"))?
        .next()
        .context("no modules")??
        .path();
    let path = release.join("kernel").join(name).with_extension("ko");
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
