//! Network namespaces by file descriptor. The kernel owns them; a [`NetNs`] keeps one alive.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::fstatfs;

use crate::error::{NetlinkError, io};

/// The file system of namespace files (`NSFS_MAGIC`).
const NSFS: i128 = 0x6e73_6673;

/// The calling thread's network namespace.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// An open network namespace.
#[derive(Debug)]
pub struct NetNs {
    fd: OwnedFd,
    label: String,
}

/// What tells namespaces apart for as long as they live: the same id, the same namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetNsId {
    /// The device number of the namespace file system.
    pub dev: u64,
    /// The inode number on it.
    pub ino: u64,
}

impl fmt::Display for NetNsId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.dev, self.ino)
    }
}

impl NetNs {
    /// Opens the namespace behind a file such as `/run/netns/x` or `/proc/1/ns/net`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, NetlinkError> {
        let path = path.as_ref();
        let label = path.display().to_string();
        let failed = |source| NetlinkError::Namespace {
            doing: "open",
            object: label.clone(),
            source,
        };
        // Opening a pipe that somebody left in place of a namespace must not wait for its other end.
        let file = File::options()
            .read(true)
            .custom_flags(O_NONBLOCK)
            .open(path);
        let fd = OwnedFd::from(file.map_err(failed)?);
        let kind = fstatfs(&fd)
            .map_err(|errno| failed(io(errno)))?
            .filesystem_type();
        if i128::from(kind.0) != NSFS {
            return Err(failed(io(Errno::EINVAL)));
        }
        Ok(Self { fd, label })
    }

    /// The calling thread's namespace.
    pub fn current() -> Result<Self, NetlinkError> {
        Self::open(CURRENT)
    }

    /// A fresh namespace that nobody is in; it goes when the last reference to it goes.
    pub fn create() -> Result<Self, NetlinkError> {
        let failed = |source| NetlinkError::Namespace {
            doing: "create",
            object: "(new)".into(),
            source,
        };
        let made = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).map_err(|errno| failed(io(errno)))?;
            Self::current()
        });
        let mut ns = made
            .join()
            .map_err(|_| failed(io::Error::other("thread panicked")))??;
        ns.label = "(new)".into();
        Ok(ns)
    }

    /// A second handle on the same namespace.
    pub fn try_clone(&self) -> Result<Self, NetlinkError> {
        let fd = self
            .fd
            .try_clone()
            .map_err(|source| self.failed("open", source))?;
        Ok(Self {
            fd,
            label: self.label.clone(),
        })
    }

    /// What tells it apart.
    pub fn id(&self) -> Result<NetNsId, NetlinkError> {
        let stat =
            nix::sys::stat::fstat(&self.fd).map_err(|errno| self.failed("examine", io(errno)))?;
        Ok(NetNsId {
            dev: stat.st_dev,
            ino: stat.st_ino,
        })
    }

    /// Runs `work` on this thread inside the namespace and comes back, also when `work` panics.
    ///
    /// Threads that `work` starts stay inside. A thread that cannot come back would act in the wrong
    /// namespace from then on, so the process ends instead.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T, NetlinkError> {
        let home = Self::current()?;
        self.enter()?;
        let _back = Back(&home);
        Ok(work())
    }

    /// Moves this thread into the namespace for good.
    pub fn enter(&self) -> Result<(), NetlinkError> {
        setns(&self.fd, CloneFlags::CLONE_NEWNET).map_err(|errno| self.failed("enter", io(errno)))
    }

    /// Gives it a name in the file system that keeps it alive; the file is made when it is missing.
    pub fn pin(&self, path: impl AsRef<Path>) -> Result<(), NetlinkError> {
        use std::os::fd::AsRawFd as _;
        let path = path.as_ref();
        let failed = |source| NetlinkError::Namespace {
            doing: "pin",
            object: path.display().to_string(),
            source,
        };
        File::options()
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        let source = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let none: Option<&str> = None;
        mount(Some(source.as_str()), path, none, MsFlags::MS_BIND, none)
            .map_err(|errno| failed(io(errno)))
    }

    /// Takes a name away again; one that is not there is success.
    pub fn unpin(path: impl AsRef<Path>) -> Result<(), NetlinkError> {
        let path = path.as_ref();
        let failed = |source| NetlinkError::Namespace {
            doing: "unpin",
            object: path.display().to_string(),
            source,
        };
        match umount2(path, MntFlags::MNT_DETACH) {
            // EINVAL: a plain file, what is left when the mount went first.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
            Err(errno) => return Err(failed(io(errno))),
        }
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> NetlinkError {
        NetlinkError::Namespace {
            doing,
            object: self.label.clone(),
            source,
        }
    }
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Brings the thread back home when it is dropped.
struct Back<'a>(&'a NetNs);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        if self.0.enter().is_err() {
            std::process::abort();
        }
    }
}
