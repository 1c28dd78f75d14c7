//! The door: read volume groups, run commands, ask device-mapper.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::argv::argv;
use crate::dm::{DeviceMapper, Key};
use crate::effect::{Effect, effect, possible, reason};
use crate::host::Host;
use crate::reader::{Reader, Which};
use crate::together::Plan;
use crate::workers::{Outcome, Together, Workers};
use crate::{Command, Lv, LvUuid, LvmError, Result, Status, Vg, VgUuid};
use crate::{probe, queue, recover};

/// How often a command is given to LVM when workers die under it.
const TRIES: u32 = 3;
/// Steps after which a pool that does not get settled is given up: a few rounds, for workers that die meanwhile.
const STEPS: u32 = 16;
/// How long a command of somebody else may hold the lock while devices are suspended, before it is left to it.
pub(crate) const LOCKED: Duration = Duration::from_secs(10);

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
    /// From state: `NotFound`, `Exists`, `NoSpace`, `InUse`, `MetadataFull`, those of [`Self::vg`]; `Unreachable` also
    /// when a disk does not write down what is done; `Refused` with LVM's words when the state does not tell; `Timeout`
    /// when it goes on after the deadline.
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
            let ready = || {
                let vg = self.vg_by_uuid(&vg.uuid)?;
                Ok(self.unsettled(&vg, command)?.is_none())
            };
            let outcome = self.workers.run(&vg, &words, ready)?;
            if let Outcome::Died(reason) = &outcome {
                tracing::warn!(vg = vg.name, reason, "LVM's worker died");
                self.resume(&vg)?;
            }
            vg = self.vg_by_uuid(&vg.uuid)?;
            let mut settled = false;
            let left_undone = !matches!(&outcome, Outcome::Ran(answer) if answer.done);
            if left_undone && let Some(pool) = self.unsettled(&vg, command)? {
                self.settle(&vg.uuid, &pool)?;
                vg = self.vg_by_uuid(&vg.uuid)?;
                settled = true;
            }
            if self.complete(&vg, command)? {
                if command.writes() {
                    self.flush(&vg)?;
                }
                return Ok(vg);
            }
            match outcome {
                // What was in LVM's way is not any more.
                Outcome::Ran(_) if settled && tries < TRIES => {}
                // Nothing tells that it is done but LVM.
                Outcome::Ran(answer)
                    if answer.done && matches!(command, Command::Refresh { .. }) =>
                {
                    return Ok(vg);
                }
                Outcome::Unready | Outcome::Died(_) if tries < TRIES => {}
                outcome => return Err(self.why(&vg, command, &words, outcome)),
            }
        }
    }

    /// Ends what dead commands left half-way in a volume group: suspended devices go on, and thin pools get what LVM had
    /// written down for them. [`Self::run`] does so itself where a command needs it; a starting driver calls it at once.
    ///
    /// # Errors
    /// Those of [`Self::vg`], of device-mapper, and `Refused` with LVM's words.
    pub fn recover(&self, vg: &VgUuid) -> Result<()> {
        let vg = self.vg_by_uuid(vg)?;
        self.resume(&vg)?;
        let mut result = Ok(());
        for pool in &vg.lvs {
            if self.step(&vg, pool)?.is_some() {
                result = result.and(self.settle(&vg.uuid, &pool.uuid));
            }
        }
        if !vg.lvs.is_empty() {
            // What an earlier process saw done and did not live to have written down.
            result = result.and(self.flush(&vg));
        }
        result
    }

    /// Makes sure that the kernel's pool has a thin volume that the metadata has. A command that made it and failed
    /// afterwards may have left it behind without.
    ///
    /// # Errors
    /// As [`Self::recover`].
    pub fn confirm(&self, vg: &Vg, lv: &Lv) -> Result<()> {
        match queue::pool_of(vg, &lv.uuid) {
            Some(pool) if self.step(vg, pool)?.is_some() => self.settle(&vg.uuid, &pool.uuid),
            _ => Ok(()),
        }
    }

    /// The pool that must be settled before a command.
    fn unsettled(&self, vg: &Vg, command: &Command) -> Result<Option<LvUuid>> {
        for pool in queue::pools(vg, command) {
            if self.step(vg, pool)?.is_some() {
                return Ok(Some(pool.uuid));
            }
        }
        Ok(None)
    }

    fn step(&self, vg: &Vg, pool: &Lv) -> Result<Option<queue::Step>> {
        if queue::step(vg, pool, None).is_none() {
            return Ok(None);
        }
        let kernel = self.status(vg, pool)?.pool;
        Ok(queue::step(vg, pool, kernel.as_ref()))
    }

    /// A volume of a thin pool that is active: as long as there is one, the kernel's pool stays as it is.
    ///
    /// # Errors
    /// As [`Self::status`].
    pub fn user_of<'a>(&self, vg: &'a Vg, pool: &Lv) -> Result<Option<&'a Lv>> {
        for thin in vg.thins_of(&pool.name) {
            if self.status(vg, thin)?.active {
                return Ok(Some(thin));
            }
        }
        Ok(None)
    }

    /// That LVM would take the kernel's pool away.
    fn unused(&self, vg: &Vg, pool: &Lv) -> Result<()> {
        let Some(thin) = self.user_of(vg, pool)? else {
            return Ok(());
        };
        Err(LvmError::Unreachable {
            vg: vg.name.clone(),
            reason: format!(
                "the kernel has stopped its thin pool {} after an error of a disk; the pool is checked and begins anew \
                 when none of its volumes is in use, and {} is",
                pool.name, thin.name
            ),
        })
    }

    /// Brings the metadata and the kernel's pool together, see [`queue`].
    fn settle(&self, vg: &VgUuid, pool: &LvUuid) -> Result<()> {
        let (mut activated, mut was_active) = (false, false);
        let mut said = (String::new(), String::new());
        for _ in 0..STEPS {
            let vg = self.vg_by_uuid(vg)?;
            let next = |vg: &Vg| match vg.lv(pool) {
                Some(pool) => self.step(vg, pool),
                None => Ok(None),
            };
            let (Some(step), Some(lv)) = (next(&vg)?, vg.lv(pool)) else {
                if activated && !was_active {
                    let words = argv(&vg, &Command::Deactivate { lv: *pool })?;
                    self.workers.run(&vg, &words, || Ok(true))?;
                }
                return self.flush(&vg);
            };
            if step == queue::Step::Send {
                self.send(&vg, pool)?;
                continue;
            }
            if step == queue::Step::Deactivate {
                self.unused(&vg, lv)?;
            }
            let words = queue::argv(&vg, lv, step);
            let still = || {
                let vg = self.vg_by_uuid(&vg.uuid)?;
                Ok(next(&vg)? == Some(step))
            };
            match self.workers.run(&vg, &words, still)? {
                // Somebody has done it, or it was a command that works.
                Outcome::Unready => continue,
                Outcome::Died(reason) => {
                    tracing::warn!(vg = vg.name, reason, "LVM's worker died");
                    self.resume(&vg)?;
                }
                Outcome::Ran(answer) => said = (words.join(" "), answer.words),
            }
            tracing::warn!(
                vg = vg.name,
                pool = lv.name,
                ?step,
                "a dead command left it half-way"
            );
            match step {
                queue::Step::Activate => activated = true,
                // It was in use, so it stays there.
                queue::Step::Deactivate => was_active = true,
                _ => {}
            }
        }
        match said {
            (command, _) if command.is_empty() => Ok(()),
            (command, words) => Err(LvmError::Refused { command, words }),
        }
    }

    /// Sends a pool's messages, if it has any when no command of LVM works.
    fn send(&self, vg: &Vg, pool: &LvUuid) -> Result<()> {
        let fault = || LvmError::io("tell its thin pool what LVM has written down in", &vg.name);
        let path = self.host.locks.join(format!("V_{}", vg.name));
        let Some(_lock) = recover::lock(&path, LOCKED).map_err(fault())? else {
            return Ok(());
        };
        let vg = self.vg_by_uuid(&vg.uuid)?;
        match vg.lv(pool) {
            Some(lv) if self.step(&vg, lv)? == Some(queue::Step::Send) => {
                queue::send(self.dm()?, &vg, lv).map_err(fault())
            }
            _ => Ok(()),
        }
    }

    /// Takes snapshots of thin volumes once more, all at one instant ([`crate::together`]). When this fails they may be of
    /// several instants, or without content: the caller removes them. Nobody activates or deactivates their
    /// origins meanwhile.
    ///
    /// # Errors
    /// `NotTogether`, those of [`Self::vg`], and `NotFound` and `Invalid` for what is no such snapshot.
    pub fn snapshot_together(&self, vg: &VgUuid, snapshots: &[LvUuid]) -> Result<()> {
        let vg = self.vg_by_uuid(vg)?;
        let plan = Plan::new(&vg, snapshots)?;
        let reason = match self.workers.together(&vg, snapshots)? {
            Together::Ran(answer) if answer.done => return Ok(()),
            Together::Ran(answer) => answer.words,
            Together::Died(reason) => reason,
            Together::Hangs(reason) => {
                // It has the lock of the volume group as long as it hangs, so these are its own.
                for origin in &plan.origins {
                    self.dm()?
                        .resume(Key::Uuid(origin))
                        .map_err(LvmError::io("resume devices of", &vg.name))?;
                }
                reason
            }
        };
        self.resume(&vg)?;
        Err(LvmError::NotTogether {
            vg: vg.name.clone(),
            reason,
        })
    }

    /// Process ids of the workers.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        self.workers.pids()
    }

    fn resume(&self, vg: &Vg) -> Result<()> {
        // The worker that refreshes may die as well.
        for _ in 0..TRIES {
            let owners = recover::resume(self.dm()?, vg, &self.host.locks, LOCKED)
                .map_err(LvmError::io("resume devices of", &vg.name))?;
            if owners.is_empty() {
                break;
            }
            for lv in owners {
                tracing::warn!(vg = vg.name, %lv, "refreshed: a dead command left it half-way");
                let words = argv(vg, &Command::Refresh { lv })?;
                self.workers.run(vg, &words, || Ok(true))?;
            }
        }
        Ok(())
    }

    /// Has the disks write down what a command wrote: after a power failure it must be as the caller was told.
    fn flush(&self, vg: &Vg) -> Result<()> {
        let mut reason = String::new();
        for _ in 0..TRIES {
            match self.workers.flush(vg)? {
                Outcome::Ran(answer) if answer.done => return Ok(()),
                Outcome::Ran(answer) => {
                    reason = answer.words;
                    break;
                }
                Outcome::Died(why) => {
                    tracing::warn!(vg = vg.name, reason = why, "LVM's worker died");
                    reason = why;
                }
                // It was not asked to wait for anything.
                Outcome::Unready => {}
            }
        }
        Err(LvmError::Unreachable {
            vg: vg.name.clone(),
            reason,
        })
    }

    fn effect(&self, vg: &Vg, command: &Command) -> Result<Effect> {
        effect(vg, command, Some(self.dm()?))
            .map_err(LvmError::io("ask device-mapper about", &vg.name))
    }

    /// Whether a command's work is there. What the metadata has and the kernel has not is loaded.
    fn complete(&self, vg: &Vg, command: &Command) -> Result<bool> {
        let mut effect = self.effect(vg, command)?;
        if let Effect::Half(lv) = effect {
            self.workers
                .run(vg, &argv(vg, &Command::Refresh { lv })?, || Ok(true))?;
            effect = self.effect(vg, command)?;
        }
        Ok(effect == Effect::Done)
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
            Outcome::Unready => LvmError::Worker {
                vg: vg.name.clone(),
                reason: format!(
                    "`{}` waits for a thin pool that others change",
                    words.join(" ")
                ),
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
