//! A network namespace of one test.

#![expect(
    unsafe_code,
    reason = "a command enters the namespace between fork and exec"
)]

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::nft::Nft;
use fairlead_cni_netlink::{LinkChange, LinkName, NetNs, NetNsId, Netlink};
use nix::sched::{CloneFlags, setns};

/// Where namespaces are pinned, each in a directory of its own named by process and number.
const ROOT: &str = "/run/fairlead-lab";

static NUMBER: AtomicU32 = AtomicU32::new(0);
static SWEEP: Once = Once::new();

/// A fresh network namespace with a file of its own; both are gone when this is dropped.
#[derive(Debug)]
pub struct Namespace {
    ns: NetNs,
    path: PathBuf,
}

impl Namespace {
    /// Makes a namespace whose file is called `label`. Its loopback is down, as in a pod's.
    pub fn new(label: &str) -> Result<Self> {
        SWEEP.call_once(sweep);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let home = Path::new(ROOT).join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
        let path = home.join(label);
        let ns = NetNs::create()?;
        ns.pin(&path)?;
        Ok(Self { ns, path })
    }

    /// The file that names it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.ns.as_fd()
    }

    /// The namespace as the netlink crate has it.
    #[must_use]
    pub fn netns(&self) -> &NetNs {
        &self.ns
    }

    /// What tells it apart from others.
    pub fn id(&self) -> Result<NetNsId> {
        Ok(self.ns.id()?)
    }

    /// Runs `work` on a thread of its own inside the namespace.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.ns.enter()?;
                Ok(work())
            });
            match inside.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A command that will run inside the namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let fd = self.ns.as_fd().as_raw_fd();
        // SAFETY: setns is async-signal-safe, allocates nothing, and `fd` stays open in this process,
        // of which the child has a copy until exec.
        unsafe {
            command.pre_exec(move || {
                setns(BorrowedFd::borrow_raw(fd), CloneFlags::CLONE_NEWNET)
                    .map_err(std::io::Error::from)
            });
        }
        command
    }

    /// Runs a command inside and returns what it printed; a failure is an error with its error output.
    pub fn output(&self, program: &str, args: &[&str]) -> Result<String> {
        let line = || format!("{program} {}", args.join(" "));
        let output = self
            .command(program)
            .args(args)
            .output()
            .with_context(line)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        anyhow::ensure!(
            output.status.success(),
            "{}: {}: {text}{}",
            line(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// A route netlink socket inside.
    pub fn netlink(&self) -> Result<Netlink> {
        Ok(Netlink::open_in(&self.ns)?)
    }

    /// An nftables socket inside.
    pub fn nft(&self) -> Result<Nft> {
        Ok(Nft::open_in(&self.ns)?)
    }

    /// Sets the loopback up.
    pub fn loopback_up(&self) -> Result<()> {
        Ok(self
            .netlink()?
            .set_link(&LinkChange::of(LinkName::new("lo")?).up())?)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = NetNs::unpin(&self.path);
        if let Some(home) = self.path.parent() {
            let _ = std::fs::remove_dir(home);
        }
    }
}

/// Removes what dead processes left; several processes may do it at once.
fn sweep() {
    for home in std::fs::read_dir(ROOT).into_iter().flatten().flatten() {
        let name = home.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.split('-').next())
            .unwrap_or_default();
        if Path::new("/proc").join(process).exists() {
            continue;
        }
        for file in std::fs::read_dir(home.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let _ = NetNs::unpin(file.path());
        }
        let _ = std::fs::remove_dir(home.path());
    }
}

/// Runs ip(8) in `ns`.
pub fn ip(ns: &Namespace, arguments: &str) -> Result<String> {
    ns.output("ip", &arguments.split(' ').collect::<Vec<_>>())
}

/// Runs nft(8) in `ns`.
pub fn nft(ns: &Namespace, script: &str) -> Result<String> {
    ns.output("nft", &[script])
}
