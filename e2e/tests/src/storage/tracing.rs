//! The LVM worker stopped at each of its calls to device-mapper while it takes snapshots together, and what is done there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fairlead_e2e_vm::MIB;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::call::{Access, Call, Create};
use super::churn::persist;
use super::client::Client;
use super::groups::{Pair, Proof};
use super::killing::with_argument;

/// `DM_DEV_SUSPEND`.
const SUSPEND: u64 = 0xc138_fd06;
/// `DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG`: LVM suspends no volume of ours so.
const TOGETHER: i64 = (1 << 1) | (1 << 10);
/// Where `flags` is in `struct dm_ioctl`.
const FLAGS: u64 = 28;
/// `ioctl` on x86-64.
const IOCTL: u64 = 16;
/// Until a worker is there, or a writer has gone on.
const PATIENCE: Duration = Duration::from_secs(30);
/// Calls of a run that may end before they come to their step.
const EARLY: u32 = 10;

/// What is done at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Act {
    /// The worker is killed.
    KillWorker,
    /// The driver is killed; the worker goes on.
    KillDriver,
    /// Both are killed.
    KillBoth,
    /// The worker stays where it is.
    Stop,
    /// What is under way to the pool's disk stays there; the worker goes on.
    HoldDisk,
}

/// A traced worker.
struct Traced {
    pid: Pid,
    over: Arc<AtomicBool>,
}

impl Traced {
    /// Lets the worker go on to its next system call's start or end; `false`: it is dead, or the call for it is over.
    fn next(&self) -> Result<bool> {
        ptrace::syscall(self.pid, None)?;
        loop {
            match waitpid(self.pid, Some(WaitPidFlag::__WALL))? {
                WaitStatus::PtraceSyscall(_) => return Ok(true),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(false),
                _ if self.over.load(Ordering::Relaxed) => return Ok(false),
                WaitStatus::Stopped(_, signal) => ptrace::syscall(self.pid, signal)?,
                _ => ptrace::syscall(self.pid, None)?,
            }
        }
    }

    /// Whether it is at a call to device-mapper, and whether at the first one for snapshots together.
    fn device_mapper(&self) -> Result<(bool, bool)> {
        let registers = ptrace::getregs(self.pid)?;
        if registers.orig_rax != IOCTL || registers.rsi & 0xff00 != 0xfd00 {
            return Ok((false, false));
        }
        if registers.rsi != SUSPEND {
            return Ok((true, false));
        }
        let address = (registers.rdx + FLAGS) as ptrace::AddressType;
        let flags = ptrace::read(self.pid, address)? & 0xffff_ffff;
        Ok((true, flags == TOGETHER))
    }

    /// Goes on to the `wanted`th start or end of such a call; `false`: there are not as many.
    fn to_step(&self, wanted: u64) -> Result<bool> {
        let (mut step, mut begun) = (0, false);
        while self.next()? {
            let (asks, first) = self.device_mapper()?;
            begun |= first;
            if begun && asks {
                if step == wanted {
                    return Ok(true);
                }
                step += 1;
            }
        }
        Ok(false)
    }
}

fn only(word: &str) -> Result<Pid> {
    let start = Instant::now();
    loop {
        match with_argument(word).as_slice() {
            [pid] => return Ok(Pid::from_raw(*pid)),
            other if start.elapsed() > PATIENCE => bail!("{other:?} run {word}"),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// Does `act` when the worker is at a step, and comes back when that has its effect or the call is over; whether it was reached.
fn at_step(
    act: Act,
    step: u64,
    over: Arc<AtomicBool>,
    ready: &std::sync::mpsc::Sender<Pid>,
) -> Result<bool> {
    let pid = only("lvm-worker")?;
    ptrace::seize(pid, Options::PTRACE_O_TRACESYSGOOD)?;
    ptrace::interrupt(pid)?;
    waitpid(pid, Some(WaitPidFlag::__WALL))?;
    ready.send(pid)?;
    let traced = Traced { pid, over };
    let reached = traced.to_step(step)?;
    if reached {
        match act {
            Act::KillWorker => kill(pid, Signal::SIGKILL)?,
            Act::KillDriver => kill(only("run")?, Signal::SIGKILL)?,
            Act::KillBoth => {
                kill(only("run")?, Signal::SIGKILL)?;
                kill(pid, Signal::SIGKILL)?;
            }
            // The driver kills it.
            Act::Stop => {
                waitpid(pid, Some(WaitPidFlag::__WALL))?;
                return Ok(true);
            }
            Act::HoldDisk => disk("suspend --noflush")?,
        }
    }
    match ptrace::detach(pid, None) {
        Ok(()) | Err(Errno::ESRCH) => Ok(reached),
        Err(error) => Err(error.into()),
    }
}

/// `dmsetup` on the disk below the pool.
fn disk(command: &str) -> Result<()> {
    let script = format!("dmsetup {command} data-fairlead--pool_tdata");
    let status = std::process::Command::new("bash")
        .args(["-c", &script])
        .status()?;
    ensure!(status.success(), "{script}: {status}");
    Ok(())
}

/// Devices that are held, but for the disk below the pool.
fn held() -> Result<Vec<String>> {
    let output = std::process::Command::new("dmsetup")
        .args(["info", "-c", "--noheadings", "-o", "name,suspended"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let held = text.lines().filter(|line| line.contains("Suspended"));
    Ok(held
        .filter(|line| !line.contains("_tdata"))
        .map(str::to_owned)
        .collect())
}

/// At each step, from `first` on and `every` so many: `act`, then what a CO does. The writer goes on, and a group snapshot is
/// made in the end whose volumes are of one instant.
pub(crate) async fn run(client: &Client, act: Act, first: u64, every: u64) -> Result<Proof> {
    let volume = |name: &str, access| Create::new(name, 64 * MIB).access(access);
    let creates = [
        volume("first", Access::mount("ext4")),
        volume("second", Access::block()),
    ];
    let pair = Pair::new(client, "ext4, raw", creates).await?;
    let mut proof = Proof::default();
    let (mut step, mut early) = (first, 0);
    loop {
        let call = pair.call(&format!("step-{step}"));
        // It has a worker from then on.
        let (worker, reached, refused) = attempt(client, act, step, &call).await?;
        let another = with_argument("lvm-worker") != [worker.as_raw()];
        let before = pair.done();
        if reached && act == Act::HoldDisk {
            ensure!(refused.is_some(), "it was made though the disk stood still");
        }
        let group = persist(client, &call, &mut 0).await?;
        let (_, ahead) = pair.compare(client, group).await?;
        proof.ahead += u64::from(ahead);
        proof.rounds += 1;
        let start = Instant::now();
        while pair.done() < before + 3 {
            ensure!(
                start.elapsed() < PATIENCE,
                "step {step}: the writer does not go on"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if !reached {
            if refused.is_none() && !another {
                break;
            }
            // The call was refused before that step, or another worker did it: a traced one may end for no reason.
            early += 1;
            ensure!(early < EARLY, "step {step} is not reached: {refused:?}");
            continue;
        }
        proof.steps += 1;
        step += every;
    }
    proof.longest_ms = pair.end(client).await?;
    Ok(proof)
}

/// One call with `act` at a step; the worker that was traced, whether it got there, and how the call was refused.
async fn attempt(
    client: &Client,
    act: Act,
    step: u64,
    call: &Call,
) -> Result<(Pid, bool, Option<String>)> {
    // Somebody has to have started the worker.
    persist(client, &Call::Volumes, &mut 0).await?;
    let over = Arc::new(AtomicBool::new(false));
    let (ready, started) = std::sync::mpsc::channel();
    let thread = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || at_step(act, step, over, &ready))
    };
    let pid = started
        .recv_timeout(PATIENCE)
        .context("the worker is not traced")?;
    let start = Instant::now();
    let answer = client.call(call).await;
    if act == Act::HoldDisk {
        let left = held()?;
        ensure!(
            left.is_empty(),
            "held after {:?}: {left:?}",
            start.elapsed()
        );
        // Steps that are not reached hold nothing.
        let _ = disk("resume");
    }
    over.store(true, Ordering::Relaxed);
    // Wakes a thread that waits for the worker's next call.
    let _ = kill(pid, Signal::SIGWINCH);
    let reached = thread
        .join()
        .map_err(|_| anyhow::anyhow!("the tracing thread"))??;
    Ok((
        pid,
        reached,
        answer.err().map(|refused| refused.to_string()),
    ))
}
