//! Logical volumes, and the calls on them that a driver would make.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use fairlead_csi_mount::{
    Access, Formatted, FsType, Key, MkfsOptions, MountError, MountOptions, Stage, Staged, Tools,
    stage, unstage,
};

/// Runs a program to a good end.
pub(crate) fn sh(line: &str) -> Result<String> {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", line])
        .output()?;
    if !output.status.success() {
        bail!("{line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// A thin logical volume, with the tag that a driver would keep.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) device: PathBuf,
    pub(crate) tag: Cell<Formatted>,
    pub(crate) noted: Cell<u32>,
}

impl Volume {
    pub(crate) fn new(name: &str, size: &str) -> Result<Self> {
        sh(&format!(
            "lvcreate -q -y -V {size} --thinpool pool -n {name} data; rm -f /run/{name}.tag"
        ))?;
        Self::known(name, Formatted::Never)
    }

    /// A thin snapshot of another, made while that is in use.
    pub(crate) fn copy_of(other: &Self, name: &str) -> Result<Self> {
        sh(&format!(
            "lvcreate -q -y -s -n {name} data/{0} && lvchange -ay -K data/{name}",
            other.name
        ))?;
        let tag = match other.tag.get() {
            Formatted::As(fs) | Formatted::Copied(fs) => Formatted::Copied(fs),
            other => other,
        };
        Self::known(name, tag)
    }

    pub(crate) fn known(name: &str, tag: Formatted) -> Result<Self> {
        let uuid = sh(&format!("lvs --noheadings -o lv_uuid data/{name}"))?;
        let device = PathBuf::from(format!("/dev/data/{name}"));
        Ok(Self {
            name: name.to_owned(),
            uuid,
            device,
            tag: Cell::new(tag),
            noted: Cell::new(0),
        })
    }

    fn tag_file(&self) -> PathBuf {
        PathBuf::from("/run").join(format!("{}.tag", self.name))
    }

    /// Takes the tag that another process has left, one of these.
    pub(crate) fn read_tag(&self, all: &[Formatted]) -> Result<()> {
        let path = self.tag_file();
        if path.exists() {
            let text = fs::read_to_string(path)?;
            let known = all.iter().find(|it| it.to_string() == text);
            self.tag.set(*known.with_context(|| text.clone())?);
        }
        Ok(())
    }

    pub(crate) fn target(&self) -> PathBuf {
        PathBuf::from("/run").join(&self.name)
    }

    pub(crate) fn stage_with(
        &self,
        fs: FsType,
        options: &MountOptions,
        key: Option<&Key>,
    ) -> Result<Staged, MountError> {
        let access = Access::Mount {
            fs,
            mkfs: &MkfsOptions::default(),
            options,
            target: &self.target(),
        };
        self.stage_as(access, key)
    }

    pub(crate) fn stage_as(
        &self,
        access: Access<'_>,
        key: Option<&Key>,
    ) -> Result<Staged, MountError> {
        let request = Stage {
            device: &self.device,
            lv: &self.uuid,
            state: self.tag.get(),
            key,
            access,
        };
        stage(&Tools::default(), &request, &mut |state| {
            self.tag.set(state);
            self.noted.set(self.noted.get() + 1);
            let new = self.tag_file().with_extension("new");
            fs::write(&new, state.to_string())?;
            Ok(fs::rename(new, self.tag_file())?)
        })
    }

    pub(crate) fn stage(&self, fs: FsType) -> Result<Staged, MountError> {
        self.stage_with(fs, &MountOptions::default(), None)
    }

    pub(crate) fn unstage(&self) -> Result<(), MountError> {
        unstage(&Tools::default(), &self.uuid, Some(&self.target()))
    }

    pub(crate) fn remove(&self) -> Result<()> {
        sh(&format!("lvremove -q -y data/{}", self.name)).map(drop)
    }

    pub(crate) fn size(&self) -> Result<u64> {
        Ok(fairlead_csi_mount::stats(&self.target())?.bytes.total)
    }
}

pub(crate) fn read_only() -> MountOptions {
    MountOptions::default().as_read_only()
}

/// Writes a file and has it on disk.
pub(crate) fn write(dir: &Path, name: &str, seed: u8, length: usize) -> Result<()> {
    let bytes = content(seed, length);
    let mut file =
        File::create(dir.join(name)).with_context(|| format!("{name} in {}", dir.display()))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(())
}

pub(crate) fn check(dir: &Path, name: &str, seed: u8, length: usize) -> Result<()> {
    let there = fs::read(dir.join(name)).with_context(|| format!("{name} in {}", dir.display()))?;
    if there != content(seed, length) {
        bail!("{name} in {} has changed", dir.display());
    }
    Ok(())
}

fn content(seed: u8, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(u64::from(seed));
    (0..length).map(|_| random.u8(..)).collect()
}
