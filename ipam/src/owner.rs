//! Who holds a lease: container, interface and network namespace, checked so that they fit their slot.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{IpamError, Result};
use std::net::IpAddr;

/// Longest container id in bytes; runtimes use 64.
pub const MAX_CONTAINER_ID: usize = 192;
/// Longest interface name in bytes (`IFNAMSIZ` less the terminating zero).
pub const MAX_IFNAME: usize = 15;
/// Longest path of a network namespace in bytes.
pub const MAX_NETNS_PATH: usize = 240;

/// `CNI_CONTAINERID` and `CNI_IFNAME`: together the key of an attachment (CNI 1.1.0, "Parameters").
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    container: String,
    ifname: String,
}

impl Owner {
    /// Takes both as the runtime gave them; white space around the container id is dropped.
    ///
    /// # Errors
    /// An empty or overlong value, or an interface name with `/`, white space or a control character.
    pub fn new(container: &str, ifname: &str) -> Result<Self> {
        let container = container.trim();
        let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if container.is_empty() || container.len() > MAX_CONTAINER_ID || !printable(container) {
            return Err(IpamError::Environment {
                name: "CNI_CONTAINERID",
                value: container.to_owned(),
                legal: "1 to 192 printable ASCII characters without blanks",
            });
        }
        let sane = !ifname.contains('/') && !matches!(ifname, "." | "..") && printable(ifname);
        if ifname.is_empty() || ifname.len() > MAX_IFNAME || !sane {
            return Err(IpamError::Environment {
                name: "CNI_IFNAME",
                value: ifname.to_owned(),
                legal: "1 to 15 printable ASCII characters without blanks and /",
            });
        }
        Ok(Self {
            container: container.to_owned(),
            ifname: ifname.to_owned(),
        })
    }

    /// The container id.
    #[must_use]
    pub fn container(&self) -> &str {
        &self.container
    }

    /// The interface's name inside of the container.
    #[must_use]
    pub fn ifname(&self) -> &str {
        &self.ifname
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {} interface {}", self.container, self.ifname)
    }
}

/// A network namespace: its path and what stood there when the lease was made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Netns {
    /// Path as the runtime gave it (`CNI_NETNS`).
    pub path: PathBuf,
    /// Device of the nsfs file (`st_dev`).
    pub dev: u64,
    /// Its inode, the namespace's identity within one boot (`st_ino`).
    pub inode: u64,
}

impl Netns {
    /// Reads device and inode of the namespace at `path`.
    ///
    /// # Errors
    /// The path is too long to be stored or cannot be read.
    pub fn at(path: &Path) -> Result<Self> {
        let stat =
            std::fs::metadata(path).map_err(IpamError::io("stat the network namespace", path))?;
        let netns = Self {
            path: path.to_owned(),
            dev: stat.dev(),
            inode: stat.ino(),
        };
        netns.check()?;
        Ok(netns)
    }

    /// Whether the path fits its slot.
    pub(crate) fn check(&self) -> Result<()> {
        let length = self.path.as_os_str().as_bytes().len();
        if (1..=MAX_NETNS_PATH).contains(&length) {
            return Ok(());
        }
        Err(IpamError::Environment {
            name: "CNI_NETNS",
            value: self.path.display().to_string(),
            legal: "a path of 1 to 240 bytes",
        })
    }
}

/// One held address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is held.
    pub address: IpAddr,
    /// Who holds it.
    pub owner: Owner,
    /// Where the owner lives; none when the caller could not say.
    pub netns: Option<Netns>,
    /// When it was given out, in whole seconds.
    pub since: SystemTime,
    /// Number of the change that gave it out: grows with every change of the file, so that a later
    /// lease of the same address is told apart.
    pub seq: u64,
}

/// Names one lease of an address, not the address for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId {
    /// The address.
    pub address: IpAddr,
    /// [`Lease::seq`].
    pub seq: u64,
}

impl Lease {
    /// The name of this very lease, for [`crate::Store::release_if`].
    #[must_use]
    pub fn id(&self) -> LeaseId {
        LeaseId {
            address: self.address,
            seq: self.seq,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_trimmed_and_checked() {
        assert_eq!(Owner::new(" abc\n", "eth0").unwrap().container(), "abc");
        let text = |id: &str, name: &str| Owner::new(id, name).unwrap_err().to_string();
        assert_eq!(
            text("", "eth0"),
            "CNI_CONTAINERID \"\" is not valid: 1 to 192 printable ASCII characters without blanks"
        );
        assert_eq!(
            text("c", "a-name-of-16-byt"),
            "CNI_IFNAME \"a-name-of-16-byt\" is not valid: 1 to 15 printable ASCII characters without blanks and /"
        );
        assert!(Owner::new("c", "a/b").is_err() && Owner::new("c", "..").is_err());
    }

    #[test]
    fn a_namespace_that_cannot_be_read_is_an_error_with_its_path() {
        assert_eq!(
            Netns::at(Path::new("/nonexistent/ns"))
                .unwrap_err()
                .to_string(),
            "cannot stat the network namespace /nonexistent/ns: No such file or directory (os error 2)"
        );
    }
}
