//! Keys below `/proc/sys`. Those of `net` belong to the network namespace of the thread that opens them:
//! wrap a call in [`NetNs::run`](crate::NetNs::run) for another one.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::NetlinkError;
use crate::types::{Family, LinkName};

/// One key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysctl(PathBuf);

impl Sysctl {
    /// A key by its path below `/proc/sys`, as in `net/ipv4/ip_forward`.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(Path::new("/proc/sys").join(key.trim_start_matches('/')))
    }

    /// A key of a link, as in `net/ipv4/conf/eth0/rp_filter`; dots in the name stay what they are.
    #[must_use]
    pub fn interface(family: Family, link: &LinkName, key: &str) -> Self {
        Self::of("conf", family, link, key)
    }

    /// A key of a link's neighbour table, as in `net/ipv4/neigh/eth0/gc_stale_time`.
    #[must_use]
    pub fn neighbour(family: Family, link: &LinkName, key: &str) -> Self {
        Self::of("neigh", family, link, key)
    }

    fn of(group: &str, family: Family, link: &LinkName, key: &str) -> Self {
        Self::new(&format!("net/{family}/{group}/{link}/{key}"))
    }

    /// Its value without surrounding white space.
    pub fn read(&self) -> Result<String, NetlinkError> {
        let text = std::fs::read_to_string(&self.0).map_err(|source| NetlinkError::Sysctl {
            doing: "read".into(),
            path: self.0.clone(),
            source,
        })?;
        Ok(text.trim().to_owned())
    }

    /// Sets its value.
    pub fn write(&self, value: &str) -> Result<(), NetlinkError> {
        // A key is never made: an open for writing without O_CREAT says ENOENT for one that is missing.
        let written = std::fs::OpenOptions::new()
            .write(true)
            .open(&self.0)
            .and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes()));
        written.map_err(|source| NetlinkError::Sysctl {
            doing: format!("write {value:?} to"),
            path: self.0.clone(),
            source,
        })
    }

    /// Sets its value unless it is that already; says whether it was not.
    pub fn ensure(&self, value: &str) -> Result<bool, NetlinkError> {
        if self.read()? == value {
            return Ok(false);
        }
        self.write(value)?;
        Ok(true)
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.0.strip_prefix("/proc/sys").unwrap_or(&self.0);
        write!(f, "sysctl {}", key.display())
    }
}
