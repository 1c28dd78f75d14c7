//! The door: read volume groups, run commands, ask device-mapper.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::argv::argv;
use crate::dm::DeviceMapper;
use crate::effect::{Effect, effect, possible, reason};
use crate::host::Host;
use crate::reader::{Reader, Which};
use crate::workers::{Outcome, Workers};
use crate::{Command, Lv, LvmError, Result, Status, Vg, VgUuid};
use crate::{probe, recover};

/// How often a command is given to LVM when workers die under it.
const TRIES: u32 = 3;
/// How long a command of somebody else may hold the lock while devices are suspended, before it is left to it.
const LOCKED: Duration = Duration::from_secs(10);

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
    host: Host,
    reader: Reader,
    workers: Workers,
    dm: OnceLock<DeviceMapper>,
    /// Volume groups that were looked through for suspended devices since the start.
    looked: Mutex<BTreeSet<VgUuid>>,
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
            workers: Workers::new(settings.run_dir, settings.worker, settings.deadline),
            dm: OnceLock::new(),
            looked: Mutex::default(),
        })
    }

    /// The volume group with a name, complete and ours to use.
    ///
    /// # Errors
    /// `NotFound`, `Partial`, `Foreign`, `Exported`, `Shared`, `Ambiguous`, `Unreachable`, `Damaged`, `Io`.
    pub fn vg(&self, name: &str) -> Result<Arc<Vg>> {
        self.reached(self.reader.find(Which::Name(name))?.usable(&self.host)?)
    }

    /// The volume group with an id, complete and ours to use.
    ///
    /// # Errors
    /// As [`Self::vg`].
    pub fn vg_by_uuid(&self, uuid: &VgUuid) -> Result<Arc<Vg>> {
        self.reached(self.reader.find(Which::Uuid(uuid))?.usable(&self.host)?)
    }

    /// The volume group with an id as far as it can be read, be it partial: for lists and health only.
    ///
    /// # Errors
    /// As [`Self::vg`], without `Partial`.
    pub fn peek(&self, uuid: &VgUuid) -> Result<Arc<Vg>> {
        self.reached(self.reader.find(Which::Uuid(uuid))?.readable(&self.host)?)
    }

    /// As [`Self::peek`], by name.
    ///
    /// # Errors
    /// As [`Self::peek`].
    pub fn peek_by_name(&self, name: &str) -> Result<Arc<Vg>> {
        self.reached(self.reader.find(Which::Name(name))?.readable(&self.host)?)
    }

    /// A group is not ours to speak of while a command on it hangs.
    fn reached(&self, vg: Arc<Vg>) -> Result<Arc<Vg>> {
        self.workers.stuck(&vg)?;
        Ok(vg)
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
        let mut vg = self.vg_by_uuid(vg)?;
        let first = {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            looked.insert(vg.uuid)
        };
        if first {
            self.resume(&vg)?;
        }
        if !command.makes() && self.effect(&vg, command)? == Effect::Done {
            return Ok(vg);
        }
        possible(&vg, command)?;
        let mut tries = 0;
        loop {
            tries += 1;
            let words = argv(&vg, command)?;
            let outcome = self.workers.run(&vg, &words)?;
            if let Outcome::Died(reason) = &outcome {
                tracing::warn!(vg = vg.name, reason, "LVM's worker died");
                self.resume(&vg)?;
            }
            vg = self.vg_by_uuid(&vg.uuid)?;
            if self.complete(&vg, command)? {
                return Ok(vg);
            }
            match outcome {
                // Nothing tells that it is done but LVM.
                Outcome::Ran(answer)
                    if answer.done && matches!(command, Command::Refresh { .. }) =>
                {
                    return Ok(vg);
                }
                Outcome::Died(_) if tries < TRIES => {}
                outcome => return Err(self.why(&vg, command, &words, outcome)),
            }
        }
    }

    /// Looks for devices of a volume group that a dead command left suspended, and lets them go on. [`Self::run`]
    /// does so itself before its first command and after a worker's death; a starting driver calls it at once.
    ///
    /// # Errors
    /// Those of [`Self::vg`], and of device-mapper.
    pub fn recover(&self, vg: &VgUuid) -> Result<()> {
        let vg = self.vg_by_uuid(vg)?;
        self.resume(&vg)
    }

    /// Process ids of the workers.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        self.workers.pids()
    }

    fn resume(&self, vg: &Vg) -> Result<()> {
        let owners = recover::resume(self.dm()?, vg, &self.host.locks, LOCKED)
            .map_err(LvmError::io("resume devices of", &vg.name))?;
        for lv in owners {
            tracing::warn!(vg = vg.name, %lv, "refreshed: a dead command left it half-way");
            self.workers.run(vg, &argv(vg, &Command::Refresh { lv })?)?;
        }
        Ok(())
    }

    fn effect(&self, vg: &Vg, command: &Command) -> Result<Effect> {
        effect(vg, command, Some(self.dm()?))
            .map_err(LvmError::io("ask device-mapper about", &vg.name))
    }

    /// Whether a command's work is there. What the metadata has and the kernel has not is loaded.
    fn complete(&self, vg: &Vg, command: &Command) -> Result<bool> {
        let Effect::Half(lv) = self.effect(vg, command)? else {
            return Ok(self.effect(vg, command)? == Effect::Done);
        };
        self.workers.run(vg, &argv(vg, &Command::Refresh { lv })?)?;
        Ok(self.effect(vg, command)? == Effect::Done)
    }

    fn why(&self, vg: &Vg, command: &Command, words: &[String], outcome: Outcome) -> LvmError {
        let said = match outcome {
            Outcome::Ran(answer) => LvmError::Refused {
                command: words.join(" "),
                words: answer.words,
            },
            Outcome::Died(reason) => LvmError::Worker {
                vg: vg.name.clone(),
                reason,
            },
        };
        reason(vg, command, self.dm.get(), said)
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
