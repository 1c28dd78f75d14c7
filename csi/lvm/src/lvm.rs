//! The door: read volume groups, run commands, ask device-mapper.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::dm::DeviceMapper;
use crate::host::Host;
use crate::probe;
use crate::reader::{Reader, Which};
use crate::{Command, Lv, LvmError, Result, Status, Vg, VgUuid};

/// How to work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory of this process's own files; they may be lost at reboot. The worker's `lvm.conf` is there.
    pub run_dir: PathBuf,
    /// The worker's command line: a program that calls [`crate::worker::main`] and its arguments, as
    /// `["/usr/bin/fairlead-csi", "lvm-worker"]`.
    pub worker: Vec<PathBuf>,
    /// How long a command is waited for; it goes on after that.
    pub deadline: Duration,
    /// How long a disk is waited for.
    pub read_deadline: Duration,
}

/// LVM of this host.
#[derive(Debug)]
pub struct Lvm {
    settings: Settings,
    host: Host,
    reader: Reader,
    dm: OnceLock<DeviceMapper>,
}

impl Lvm {
    /// Gets ready. Reads the host's configuration; starts nothing, and needs no volume group to be there.
    ///
    /// # Errors
    /// When the run directory cannot be made.
    pub fn open(settings: Settings) -> Result<Self> {
        fs::create_dir_all(&settings.run_dir).map_err(LvmError::io("create", &settings.run_dir))?;
        Ok(Self {
            host: Host::read(),
            reader: Reader::new(settings.read_deadline),
            dm: OnceLock::new(),
            settings,
        })
    }

    /// The volume group with a name, complete and ours to use.
    ///
    /// # Errors
    /// `NotFound`, `Partial`, `Foreign`, `Exported`, `Shared`, `Ambiguous`, `Unreachable`, `Damaged`, `Io`.
    pub fn vg(&self, name: &str) -> Result<Arc<Vg>> {
        self.reader.find(Which::Name(name))?.usable(&self.host)
    }

    /// The volume group with an id, complete and ours to use.
    ///
    /// # Errors
    /// As [`Self::vg`].
    pub fn vg_by_uuid(&self, uuid: &VgUuid) -> Result<Arc<Vg>> {
        self.reader.find(Which::Uuid(uuid))?.usable(&self.host)
    }

    /// The volume group with an id as far as it can be read, be it partial: for lists and health only.
    ///
    /// # Errors
    /// As [`Self::vg`], without `Partial`.
    pub fn peek(&self, uuid: &VgUuid) -> Result<Arc<Vg>> {
        self.reader.find(Which::Uuid(uuid))?.readable(&self.host)
    }

    /// All volume groups of the host by name, each with what keeps it from use.
    ///
    /// # Errors
    /// `Io` when the devices cannot even be listed.
    pub fn vgs(&self) -> Result<Vec<(String, Result<Arc<Vg>>)>> {
        let world = self.reader.scan()?;
        let all = world.groups.iter();
        Ok(all
            .map(|known| (known.vg.name.clone(), known.usable(&self.host)))
            .collect())
    }

    /// All volume groups of the host by name as far as they can be read, be they partial: for lists and health only.
    ///
    /// # Errors
    /// `Io` when the devices cannot even be listed.
    pub fn peek_all(&self) -> Result<Vec<(String, Result<Arc<Vg>>)>> {
        let world = self.reader.scan()?;
        let all = world.groups.iter();
        Ok(all
            .map(|known| (known.vg.name.clone(), known.readable(&self.host)))
            .collect())
    }

    /// Runs a command; the result is the volume group as it was read afterwards. `Ok` means: what the command
    /// wanted is in the metadata and in the kernel, whoever did it. Commands on one volume group wait for
    /// each other.
    ///
    /// # Errors
    /// From state: `NotFound`, `Exists`, `NoSpace`, `InUse`, `MetadataFull`, those of [`Self::vg`]; `Refused` with
    /// LVM's words when the state does not tell; `Timeout` when it goes on after the deadline.
    pub fn run(&self, vg: &VgUuid, command: &Command) -> Result<Arc<Vg>> {
        let vg = self.vg_by_uuid(vg)?;
        Err(LvmError::Worker {
            vg: vg.name.clone(),
            reason: format!("{:?} cannot run {command:?} yet", self.settings.worker),
        })
    }

    /// What device-mapper says of a volume. No lock, no LVM command, no disk is read.
    ///
    /// # Errors
    /// `Io` when device-mapper refuses.
    pub fn status(&self, vg: &Vg, lv: &Lv) -> Result<Status> {
        let device = vg.device(lv);
        probe::status(self.dm()?, vg, lv).map_err(LvmError::io("ask device-mapper about", device))
    }

    fn dm(&self) -> Result<&DeviceMapper> {
        if let Some(dm) = self.dm.get() {
            return Ok(dm);
        }
        let dm = DeviceMapper::open().map_err(LvmError::io("open", "/dev/mapper/control"))?;
        Ok(self.dm.get_or_init(|| dm))
    }
}
