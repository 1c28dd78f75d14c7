//! The work that host-local's format asks for, without a process: what a format costs by itself.
//!
//! Allocation reads every file of the directory for a second lease of the same owner, then makes the file
//! of the next address and rewrites that of the last one; freeing reads every file and removes its own.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// A directory in host-local's format with addresses of 10.88.0.0/16.
#[derive(Debug)]
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Gives `container` the next address.
    pub(crate) fn allocate(&self, container: &str) -> Result<()> {
        let _lock = self.lock()?;
        let owner = owner(container);
        anyhow::ensure!(self.owned(&owner)?.is_none(), "{container} has an address");
        let last = std::fs::read_to_string(self.0.join("last_reserved_ip.0"));
        let last: Ipv4Addr = last
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(FIRST);
        let address = Ipv4Addr::from_bits(last.to_bits() + 1);
        let path = self.0.join(address.to_string());
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(owner.as_bytes())?;
        std::fs::write(self.0.join("last_reserved_ip.0"), address.to_string())?;
        Ok(())
    }

    /// Takes the address of `container` back.
    pub(crate) fn free(&self, container: &str) -> Result<()> {
        let _lock = self.lock()?;
        let path = self.owned(&owner(container))?.context("nothing to free")?;
        Ok(std::fs::remove_file(path)?)
    }

    /// Reads all files, as host-local does: it does not stop at the first that matches.
    fn owned(&self, owner: &str) -> Result<Option<PathBuf>> {
        let mut found = None;
        for entry in std::fs::read_dir(&self.0)? {
            let path = entry?.path();
            if std::fs::read_to_string(&path)?.trim() == owner {
                found = Some(path);
            }
        }
        Ok(found)
    }

    fn lock(&self) -> Result<File> {
        let path = self.0.join("lock");
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.lock()?;
        Ok(file)
    }
}

const FIRST: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

fn owner(container: &str) -> String {
    format!("{container}\r\neth0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_looks_like_host_locals() {
        let dir = tempfile::tempdir().expect("a directory");
        let format = Directory::new(dir.path()).expect("made");
        format.allocate("a").expect("allocated");
        assert!(format.allocate("a").is_err(), "as host-local refuses it");
        let text = std::fs::read_to_string(dir.path().join("10.88.0.2")).expect("the file");
        assert_eq!(text, "a\r\neth0");
        format.free("a").expect("freed");
        assert!(!dir.path().join("10.88.0.2").exists());
    }
}
