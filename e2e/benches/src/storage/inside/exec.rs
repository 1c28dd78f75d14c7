//! LVM by its program, in the surroundings of the driver's worker: the same lvm.conf, so the same devices, wiping and
//! udev settings.

use std::process::{Command, Stdio};

use anyhow::{Result, ensure};
use fairlead_csi_volume::VolumeId;

use super::process::Process;
use crate::storage::VG;

/// A variable of the worker's that says where its lvm.conf is.
const SYSTEM_DIR: &str = "LVM_SYSTEM_DIR";

/// LVM's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exec {
    system_dir: String,
}

impl Exec {
    /// With the surroundings of this worker.
    pub(super) fn like(worker: Process) -> Result<Self> {
        let system_dir = worker.variable(SYSTEM_DIR)?;
        Ok(Self { system_dir })
    }

    /// Runs a command, which must succeed, and gives its standard output.
    pub(super) fn run(&self, words: &[String]) -> Result<Vec<u8>> {
        let mut command = Command::new("lvm");
        self.surround(&mut command);
        let output = command.args(words).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {said}", words.join(" "));
        Ok(output.stdout)
    }

    /// `lvs` of these fields of the volumes that are selected.
    pub(super) fn report(&self, fields: &str, select: &str) -> Result<String> {
        let words = [
            "lvs",
            "-a",
            "--noheadings",
            "-o",
            fields,
            "--select",
            select,
            VG,
        ];
        let output = self.run(&words.map(str::to_owned))?;
        Ok(String::from_utf8(output)?)
    }

    /// Writes so many bytes that are no zeros at the beginning of a volume, by the driver's id of it.
    pub(super) fn write(id: &str, bytes: u64) -> Result<()> {
        let id: VolumeId = id.parse()?;
        let uuid = id.lv.with_dashes();
        let script = format!(
            "path=$(lvs --noheadings -o lv_path --select lv_uuid={uuid} | tr -d ' ') && lvchange -y -ay -K $path && \
             head -c {bytes} /dev/zero | tr '\\0' x | dd of=$path bs=1M iflag=fullblock oflag=direct status=none && \
             lvchange -y -an $path"
        );
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script}: {said}");
        Ok(())
    }

    /// The worker's surroundings.
    pub(super) fn surround(&self, command: &mut Command) {
        command
            .env("LC_ALL", "C")
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .env(SYSTEM_DIR, &self.system_dir);
    }
}
