//! Folders in the BPF file system.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

/// Where they are, each named by process and number.
const ROOT: &str = "/sys/fs/bpf/fairlead-lab";

static NUMBER: AtomicU32 = AtomicU32::new(0);
static SWEEP: Once = Once::new();

/// A folder for what one node's agent pins; gone with all pins when this is dropped.
#[derive(Debug)]
pub struct BpfFolder(PathBuf);

impl BpfFolder {
    /// An empty one.
    pub fn new() -> Result<Self> {
        SWEEP.call_once(sweep);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(ROOT).join(format!("{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("make {}: is there a BPF file system?", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for BpfFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Removes what dead processes left; several processes may do it at once.
fn sweep() {
    for folder in std::fs::read_dir(ROOT).into_iter().flatten().flatten() {
        let name = folder.file_name();
        let name = name.to_str().unwrap_or_default();
        let process = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(process).exists() {
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}
