//! Disks: sparse files.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::scratch::Scratch;

/// 2²⁰ bytes.
pub const MIB: u64 = 1 << 20;
/// 2³⁰ bytes.
pub const GIB: u64 = 1 << 30;

/// A disk, which outlives the machines that use it. The first of a machine is its /dev/ubda, the second /dev/ubdb …
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    _scratch: Option<Scratch>,
}

impl Disk {
    /// A new disk of `bytes` in memory, which takes room only for what is written, and goes when it is dropped or
    /// its process dies.
    pub fn temporary(bytes: u64) -> Result<Self> {
        let scratch = Scratch::new()?;
        let path = scratch.path().join("disk");
        size(&path, bytes)?;
        Ok(Self {
            path,
            _scratch: Some(scratch),
        })
    }

    /// A disk in a file of the caller's, made where it is missing. `bytes` is its size then.
    pub fn file(path: impl Into<PathBuf>, bytes: u64) -> Result<Self> {
        let path = path.into();
        if !path.exists() {
            size(&path, bytes)?;
        }
        Ok(Self {
            path,
            _scratch: None,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Disk {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

fn size(path: &Path, bytes: u64) -> Result<()> {
    let made = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(bytes));
    made.with_context(|| format!("making a disk of {bytes} bytes in {}", path.display()))
}

/// A number of bytes such as `512M`, `8G` or `4096`.
pub(crate) fn parse_size(text: &str) -> Result<u64> {
    let legal = || {
        format!(
            "{text:?} is not a size: a number, then nothing or one of K, M, G and T, such as 8G"
        )
    };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => anyhow::bail!(legal()),
    };
    let number: u64 = digits.parse().with_context(legal)?;
    number.checked_mul(1 << shift).with_context(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_unit() {
        assert_eq!(parse_size("4096").unwrap(), 4096);
        assert_eq!(parse_size("512M").unwrap(), 512 * MIB);
        assert_eq!(parse_size("8G").unwrap(), 8 * GIB);
        for wrong in ["", "G", "8g", "-1", "8GB", "99999999999T"] {
            assert_eq!(
                parse_size(wrong).unwrap_err().to_string(),
                format!(
                    "{wrong:?} is not a size: a number, then nothing or one of K, M, G and T, such as 8G"
                )
            );
        }
    }
}
