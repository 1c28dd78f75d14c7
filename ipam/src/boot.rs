//! Which boot this is and which namespaces are still there: all that decides whether a lease is dead.
//! Both can be replaced, so that a reboot can be tested.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{IpamError, Result};
use crate::owner::Netns;

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kernel's random number of this boot (random(4), `/proc/sys/kernel/random/boot_id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// Asks the kernel.
    ///
    /// # Errors
    /// `/proc` is not mounted or does not hold a UUID there.
    pub fn current() -> Result<Self> {
        // One read: every ADD comes through here.
        let mut text = [0; 36];
        let read = File::open(BOOT_ID).and_then(|mut file| file.read_exact(&mut text));
        read.map_err(IpamError::io("read", BOOT_ID))?;
        let text = String::from_utf8_lossy(&text);
        let odd = || io::Error::new(io::ErrorKind::InvalidData, "not a UUID");
        Self::parse(&text)
            .ok_or_else(odd)
            .map_err(IpamError::io("read", BOOT_ID))
    }

    fn parse(text: &str) -> Option<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        let number = u128::from_str_radix(&digits, 16).ok()?;
        (digits.len() == 32).then_some(Self(number.to_be_bytes()))
    }
}

/// Whether the namespace of a lease is still the one that the lease was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// The same namespace stands at its path.
    Here,
    /// Nothing, or something else, stands there.
    Gone,
    /// It cannot be looked at; counts as here.
    Unknown,
}

/// Looks for namespaces.
pub trait Namespaces: fmt::Debug + Send + Sync {
    /// Whether `netns` still exists.
    fn presence(&self, netns: &Netns) -> Presence;

    /// What stands at `path` now.
    ///
    /// # Errors
    /// Nothing stands there or the path is too long.
    fn at(&self, path: &Path) -> Result<Netns>;
}

/// The namespaces of a mounted file tree, by path, device and inode.
#[derive(Debug, Clone)]
pub struct MountedNamespaces {
    root: PathBuf,
}

impl MountedNamespaces {
    /// Paths are looked up below `root`; `/` for a process in the host's mount namespace.
    #[must_use]
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Namespaces for MountedNamespaces {
    fn presence(&self, netns: &Netns) -> Presence {
        match std::fs::metadata(self.path(&netns.path)) {
            Ok(stat) if (stat.dev(), stat.ino()) == (netns.dev, netns.inode) => Presence::Here,
            Ok(_) => Presence::Gone,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Presence::Gone,
                _ => Presence::Unknown,
            },
        }
    }

    fn at(&self, path: &Path) -> Result<Netns> {
        Ok(Netns {
            path: path.to_owned(),
            ..Netns::at(&self.path(path))?
        })
    }
}

/// What a [`crate::Store`] knows of the machine.
#[derive(Debug)]
pub struct Env {
    /// This boot.
    pub boot: BootId,
    /// How namespaces are found.
    pub namespaces: Box<dyn Namespaces>,
    /// Where libcni keeps results of ADD, one file an attachment: says which namespace an imported
    /// lease belongs to.
    pub cni_results: PathBuf,
    /// Whether opening a file and running out of addresses may free leases of dead namespaces.
    pub reclaims: bool,
}

/// libcni's default.
const CNI_RESULTS: &str = "/var/lib/cni/results";

impl Env {
    /// For a plugin: runs in the host's mount namespace.
    ///
    /// # Errors
    /// The boot id cannot be read.
    pub fn host() -> Result<Self> {
        Ok(Self {
            boot: BootId::current()?,
            namespaces: Box::new(MountedNamespaces::below("/")),
            cni_results: CNI_RESULTS.into(),
            reclaims: true,
        })
    }

    /// For a daemon whose own mount namespace shows the host's files below `root`. It frees nothing by
    /// itself: where a mount is missing, every namespace would look dead.
    ///
    /// # Errors
    /// The boot id cannot be read.
    pub fn observer(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        Ok(Self {
            boot: BootId::current()?,
            cni_results: root.join(CNI_RESULTS.trim_start_matches('/')),
            namespaces: Box::new(MountedNamespaces::below(root)),
            reclaims: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_id_is_a_uuid_and_stays_the_same() {
        assert_eq!(BootId::current().unwrap(), BootId::current().unwrap());
        assert_eq!(
            BootId::parse("00000000-0000-0000-0000-0000000000ff\n")
                .unwrap()
                .0[15],
            255
        );
        assert_eq!(BootId::parse("0000"), None);
        assert_eq!(BootId::parse("x0000000-0000-0000-0000-0000000000ff"), None);
    }

    #[test]
    fn presence_wants_the_same_file_not_only_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ns");
        let host = MountedNamespaces::below("/");
        std::fs::write(&path, "").unwrap();
        let netns = host.at(&path).unwrap();
        assert_eq!(host.presence(&netns), Presence::Here);
        assert_eq!(
            host.presence(&Netns {
                inode: netns.inode + 1,
                ..netns.clone()
            }),
            Presence::Gone
        );
        std::fs::remove_file(&path).unwrap();
        assert_eq!(host.presence(&netns), Presence::Gone);
        let loops = dir.path().join("loop");
        std::os::unix::fs::symlink(&loops, &loops).unwrap();
        assert_eq!(
            host.presence(&Netns {
                path: loops,
                ..netns
            }),
            Presence::Unknown
        );
    }

    #[test]
    fn paths_are_looked_up_below_the_root() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ns"), "").unwrap();
        let netns = MountedNamespaces::below(dir.path())
            .at(Path::new("/ns"))
            .unwrap();
        assert_eq!(netns.path, Path::new("/ns"));
    }
}
