//! The workers, one a volume group: started at first need, one command at a time, a new one after a death or
//! when one has grown. Who waits for a command waits no longer than the deadline; the command goes on.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::together::LONGEST;
use crate::worker::{Answer, NO_LIBRARY, PATH, Request, receive, send};
use crate::{LvUuid, LvmError, Result, Vg, VgUuid, config};

/// A worker that has run so many commands is replaced, so that what LVM's library keeps does not add up.
const MOST_COMMANDS: u64 = 1500;
/// So is one with so many bytes of its own.
const MOST_MEMORY: u64 = 96 << 20;

/// A killed worker that lives on for so long waits in the kernel for what cannot be interrupted.
const DYING: Duration = Duration::from_millis(500);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(5);
/// LVM found its own memory at odds: nothing more may be written from there.
const INTERNAL: &str = "Internal error";

/// What became of a command.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// LVM ran it.
    Ran(Answer),
    /// The worker died meanwhile.
    Died(String),
    /// LVM was not asked: when its turn had come, the command was not to run any more.
    Unready,
}

/// What became of snapshots that were to be taken together.
#[derive(Debug)]
pub(crate) enum Together {
    /// The worker came to an end with them.
    Ran(Answer),
    /// The worker is dead.
    Died(String),
    /// The worker is to die, and does not.
    Hangs(String),
}

/// All workers.
#[derive(Debug)]
pub(crate) struct Workers {
    run_dir: PathBuf,
    program: Vec<PathBuf>,
    deadline: Duration,
    slots: Mutex<HashMap<VgUuid, Arc<Slot>>>,
}

/// The worker of a volume group.
#[derive(Debug, Default)]
struct Slot {
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Debug, Default)]
struct State {
    worker: Option<Worker>,
    busy: Option<Busy>,
}

#[derive(Debug)]
struct Busy {
    pid: u32,
    command: String,
    /// Nobody waits for it any more.
    abandoned: bool,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    socket: UnixStream,
    /// What it sees.
    devices: Vec<String>,
    ran: u64,
    memory: u64,
}

impl Workers {
    pub(crate) fn new(run_dir: PathBuf, program: Vec<PathBuf>, deadline: Duration) -> Self {
        Self {
            run_dir,
            program,
            deadline,
            slots: Mutex::default(),
        }
    }

    /// Process ids of the workers that are there.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots
            .values()
            .filter_map(|slot| {
                let state = slot.lock();
                let idle = state.worker.as_ref().map(|worker| worker.child.id());
                idle.or(state.busy.as_ref().map(|busy| busy.pid))
            })
            .collect()
    }

    /// The worker of a volume group, for `command` alone; others on the same group are waited for.
    fn claim(&self, vg: &Vg, command: String, until: Instant) -> Result<(Arc<Slot>, Worker)> {
        let devices = config::devices(vg)?;
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(vg.uuid).or_default())
        };
        let mut state = slot.lock();
        while let Some(busy) = &state.busy {
            if busy.is_stuck() {
                return Err(self.hung(&vg.name));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.late(vg, busy));
            }
            let waited = slot.free.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let worker = match state.worker.take() {
            Some(worker) if worker.fit(&devices) => worker,
            unfit => {
                if let Some(worker) = unfit {
                    tracing::info!(
                        vg = vg.name,
                        commands = worker.ran,
                        bytes = worker.memory,
                        disks = ?worker.devices,
                        "a new LVM worker"
                    );
                }
                self.start(vg, devices)?
            }
        };
        state.busy = Some(Busy {
            pid: worker.child.id(),
            command,
            abandoned: false,
        });
        drop(state);
        Ok((slot, worker))
    }

    /// Runs a command; others on the same volume group are waited for. `ready` is asked when none of them runs any more.
    pub(crate) fn run(
        &self,
        vg: &Vg,
        words: &[String],
        ready: impl FnOnce() -> Result<bool>,
    ) -> Result<Outcome> {
        self.ask(vg, &Request::Run(words.to_vec()), ready)
    }

    /// Has the disks of a volume group write down what they were given.
    pub(crate) fn flush(&self, vg: &Vg) -> Result<Outcome> {
        self.ask(vg, &Request::Flush(config::devices(vg)?), || Ok(true))
    }

    fn ask(
        &self,
        vg: &Vg,
        request: &Request,
        ready: impl FnOnce() -> Result<bool>,
    ) -> Result<Outcome> {
        let until = Instant::now() + self.deadline;
        let command = request.to_string();
        let (slot, mut worker) = self.claim(vg, command.clone(), until)?;
        match ready() {
            Ok(true) => {}
            not => {
                slot.release(Some(worker));
                return not.map(|_| Outcome::Unready);
            }
        }
        let left = until.saturating_duration_since(Instant::now());
        match worker.ask(request, left) {
            Ok(answer) if answer.words.contains(INTERNAL) => {
                worker.end(&io::Error::other("it was not trusted any more"));
                slot.release(None);
                Ok(Outcome::Died(answer.words))
            }
            Ok(answer) => {
                slot.release(Some(worker));
                if answer.missing {
                    return Err(LvmError::NoLvm);
                }
                Ok(Outcome::Ran(answer))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let busy = Busy {
                    pid: worker.child.id(),
                    command,
                    abandoned: false,
                };
                let late = self.late(vg, &busy);
                abandon(slot, worker)?;
                Err(late)
            }
            Err(error) => {
                let reason = worker.end(&error);
                slot.release(None);
                Ok(Outcome::Died(reason))
            }
        }
    }

    /// Has the worker take snapshots together, and watches it: whatever becomes of it, the answer comes in time.
    pub(crate) fn together(&self, vg: &Vg, snapshots: &[LvUuid]) -> Result<Together> {
        let until = Instant::now() + self.deadline;
        let request = Request::Together {
            vg: vg.uuid.to_string(),
            snapshots: snapshots.iter().map(ToString::to_string).collect(),
        };
        let (slot, mut worker) = self.claim(vg, request.to_string(), until)?;
        let left = until.saturating_duration_since(Instant::now());
        let answer = match worker.ask(&request, left) {
            Ok(ready) if ready.done => worker.answer(Some(LONGEST)),
            answer => answer,
        };
        let error = match answer {
            Ok(answer) => {
                slot.release(Some(worker));
                return Ok(Together::Ran(answer));
            }
            Err(error) => error,
        };
        if worker.end_soon() {
            let reason = worker.end(&error);
            slot.release(None);
            return Ok(Together::Died(reason));
        }
        abandon(slot, worker)?;
        Ok(Together::Hangs(format!(
            "the worker hangs in the kernel ({error})"
        )))
    }

    fn late(&self, vg: &Vg, busy: &Busy) -> LvmError {
        if hangs(busy.pid) {
            return self.hung(&vg.name);
        }
        LvmError::Timeout {
            vg: vg.name.clone(),
            command: busy.command.clone(),
            after: self.deadline,
        }
    }

    /// What keeps a volume group from use: a command that nobody waits for any more hangs in the kernel.
    pub(crate) fn stuck(&self, vg: &Vg) -> Result<()> {
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = slots.get(&vg.uuid).map(Arc::clone) else {
            return Ok(());
        };
        drop(slots);
        match &slot.lock().busy {
            Some(busy) if busy.is_stuck() => Err(self.hung(&vg.name)),
            _ => Ok(()),
        }
    }

    fn hung(&self, vg: &str) -> LvmError {
        LvmError::Unreachable {
            vg: vg.to_owned(),
            reason: format!("LVM hangs in the kernel for more than {:?}", self.deadline),
        }
    }

    fn start(&self, vg: &Vg, devices: Vec<String>) -> Result<Worker> {
        let directory = config::write(&self.run_dir, vg, &devices)?;
        let wrong = |reason: String| LvmError::Worker {
            vg: vg.name.clone(),
            reason,
        };
        let [program, arguments @ ..] = self.program.as_slice() else {
            return Err(wrong("no program is set".to_owned()));
        };
        let cannot =
            |error: io::Error| wrong(format!("cannot start {}: {error}", program.display()));
        let (ours, theirs) = UnixStream::pair().map_err(cannot)?;
        let mut process = Process::new(program);
        process
            .args(arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C")
            .env("LVM_SYSTEM_DIR", directory)
            .env("LVM_SUPPRESS_FD_WARNINGS", "1")
            .envs(std::env::var_os(NO_LIBRARY).map(|value| (NO_LIBRARY, value)))
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .process_group(0);
        let child = process.spawn().map_err(cannot)?;
        Ok(Worker {
            child,
            socket: ours,
            devices,
            ran: 0,
            memory: 0,
        })
    }
}

/// The command goes on without anybody waiting; the volume group is busy until it ends.
fn abandon(slot: Arc<Slot>, mut worker: Worker) -> Result<()> {
    if let Some(busy) = &mut slot.lock().busy {
        busy.abandoned = true;
    }
    thread::Builder::new()
        .name("lvm-late".to_owned())
        .spawn(move || {
            let answer = worker.answer(None);
            slot.release(match answer {
                Ok(_) => Some(worker),
                Err(error) => {
                    tracing::warn!(reason = worker.end(&error), "a late worker ended");
                    None
                }
            });
        })
        .map(drop)
        .map_err(LvmError::io("start a thread for", "a late worker"))
}

/// Whether a worker, or a program that LVM runs for it, is in uninterruptible sleep. All of them are in the process group
/// that the worker leads.
fn hangs(leader: u32) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .any(|stat| sleeps_in_group(&stat, leader))
}

/// `proc_pid_stat(5)`: behind the name in brackets come the state, the parent, the process group.
fn sleeps_in_group(stat: &str, leader: u32) -> bool {
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = behind.split_whitespace();
    fields.next() == Some("D") && fields.nth(1) == Some(leader.to_string().as_str())
}

impl Busy {
    fn is_stuck(&self) -> bool {
        self.abandoned && hangs(self.pid)
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, worker: Option<Worker>) {
        let mut state = self.lock();
        state.worker = worker;
        state.busy = None;
        drop(state);
        self.free.notify_one();
    }
}

impl Worker {
    fn fit(&self, devices: &[String]) -> bool {
        self.ran < MOST_COMMANDS && self.memory < MOST_MEMORY && self.devices == devices
    }

    fn ask(&mut self, request: &Request, at_most: Duration) -> io::Result<Answer> {
        send(&mut self.socket, request)?;
        let answer = self.answer(Some(at_most.max(Duration::from_millis(1))))?;
        self.ran += 1;
        self.memory = answer.memory;
        Ok(answer)
    }

    fn answer(&mut self, at_most: Option<Duration>) -> io::Result<Answer> {
        self.socket.set_read_timeout(at_most)?;
        receive(&mut self.socket)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Kills it; whether it is dead then.
    fn end_soon(&mut self) -> bool {
        let _ = self.child.kill();
        let until = Instant::now() + DYING;
        loop {
            match self.child.try_wait() {
                Ok(None) if Instant::now() < until => thread::sleep(LOOK),
                Ok(dead) => return dead.is_some(),
                Err(_) => return false,
            }
        }
    }

    /// Buries it; the result says how it died.
    fn end(&mut self, error: &io::Error) -> String {
        // It may live and be mad: what it has under way cannot be told from an answer any more.
        let _ = self.child.kill();
        match self.child.wait() {
            Ok(status) => format!("it ended with {status} ({error})"),
            Err(waiting) => format!("{error}, {waiting}"),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It ends by itself when its socket closes.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_the_group_that_hangs_is_seen_whatever_its_name() {
        assert!(sleeps_in_group("9 (thin_check) D 7 7 1 0", 7));
        assert!(sleeps_in_group("9 (a) b) S) D 1 7 1 0", 7));
        assert!(!sleeps_in_group("9 (thin_check) S 7 7 1 0", 7));
        assert!(!sleeps_in_group("7 (x) D 7 70 1 0", 7));
        assert!(!sleeps_in_group("", 7));
    }
}
