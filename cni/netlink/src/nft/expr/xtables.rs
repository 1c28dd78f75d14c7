//! Matches of `x_tables` within nftables (`nft_compat`).

use std::fmt;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::wire::Bytes as _;

/// Length of `struct xt_bpf_info_v1`, whose last eight bytes are the kernel's own.
const LENGTH: usize = 528;

/// Where its path begins, and the longest path with its zero byte (`XT_BPF_PATH_MAX`).
const PATH: usize = 8;
const PATH_MAX: usize = 512;

/// `XT_BPF_MODE_PATH_PINNED`.
const PINNED: u16 = 1;

/// A match by its name, revision and what it was configured with, as the kernel has it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct XtMatch {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: u32,
    /// Its configuration, in the layout of its kernel header.
    pub info: Vec<u8>,
}

impl XtMatch {
    /// Holds for packets for which the pinned BPF program gives anything but 0; `None` for a path of 512 bytes
    /// or more. The path is looked up once, when the rule is made.
    #[must_use]
    pub fn pinned_program(path: &Path) -> Option<Self> {
        let path = path.as_os_str().as_bytes();
        (path.len() < PATH_MAX && !path.contains(&0)).then_some(())?;
        let mut info = vec![0; LENGTH];
        info[..2].copy_from_slice(&PINNED.to_ne_bytes());
        info[PATH..PATH + path.len()].copy_from_slice(path);
        Some(Self {
            name: "bpf".to_owned(),
            revision: 1,
            info,
        })
    }

    /// The path of [`XtMatch::pinned_program`].
    #[must_use]
    pub fn program(&self) -> Option<PathBuf> {
        let pinned =
            self.name == "bpf" && self.revision == 1 && self.info.u16_at(0) == Some(PINNED);
        pinned
            .then(|| self.info.get(PATH..PATH + PATH_MAX))?
            .map(|path| path.text().into())
    }

    /// Takes what the kernel reports: of a pinned program it also reports a descriptor that means nothing by
    /// then, and it may report less than the whole.
    pub(super) fn reported(name: String, revision: u32, info: &[u8]) -> Self {
        let reported = Self {
            name,
            revision,
            info: info.to_vec(),
        };
        let known = reported.program();
        known
            .and_then(|path| Self::pinned_program(&path))
            .unwrap_or(reported)
    }
}

impl fmt::Debug for XtMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.program() {
            Some(path) => write!(f, "bpf {}", path.display()),
            None => write!(f, "{} of revision {}", self.name, self.revision),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_program_is_known_by_its_path() {
        let path = Path::new("/sys/fs/bpf/fairlead/v1/to_node");
        let written = XtMatch::pinned_program(path).unwrap();
        assert_eq!(written.info.len(), LENGTH);
        assert_eq!(written.program().as_deref(), Some(path));

        let mut told = written.info.clone();
        told[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        told.truncate(520);
        assert_eq!(XtMatch::reported("bpf".into(), 1, &told), written);
        assert_eq!(
            format!("{written:?}"),
            "bpf /sys/fs/bpf/fairlead/v1/to_node"
        );
    }

    #[test]
    fn a_path_that_is_too_long_is_refused() {
        let path = |length| XtMatch::pinned_program(Path::new(&"x".repeat(length)));
        assert!(path(511).is_some());
        assert_eq!(path(512), None);
    }
}
