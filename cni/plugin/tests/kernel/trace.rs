//! Watching the program's system calls, and kill -9 at a chosen one, by ptrace(2): the program under test is
//! the one that ships, without a hook.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use nix::libc::{self, c_long, user_regs_struct};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// Calls that change something outside of the process, or hand over to another one. Between two of them a
/// kill makes no difference.
const CHANGES: [c_long; 17] = [
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_fork,
    libc::SYS_clone,
];

/// A process before a system call, or after one.
pub(crate) struct Stop {
    /// Whether it is the one that was started, not what it forked.
    pub(crate) is_main: bool,
    /// Whether the call is still to come.
    pub(crate) entering: bool,
    pid: Pid,
    registers: user_regs_struct,
}

/// What becomes of it.
pub(crate) enum Next {
    Go,
    /// It waits until all are killed.
    Hold,
    /// All are killed.
    Kill,
}

impl Stop {
    /// Whether this is the system call `number`.
    pub(crate) fn is(&self, number: c_long) -> bool {
        self.registers.orig_rax == number.cast_unsigned()
    }

    /// Whether a call is about to change something.
    pub(crate) fn changes(&self) -> bool {
        self.entering && CHANGES.iter().any(|number| self.is(*number))
    }

    /// What the call returned.
    pub(crate) fn returned(&self) -> i64 {
        self.registers.rax.cast_signed()
    }

    /// How long the process is about to sleep.
    pub(crate) fn sleep(&self) -> Option<Duration> {
        if !self.entering || !self.is(libc::SYS_clock_nanosleep) {
            return None;
        }
        let word = |at: u64| {
            let address = usize::try_from(self.registers.rdx + at).unwrap();
            let address = std::ptr::with_exposed_provenance_mut(address);
            ptrace::read(self.pid, address).unwrap()
        };
        let seconds = Duration::from_secs(word(0).cast_unsigned());
        Some(seconds + Duration::from_nanos(word(8).cast_unsigned()))
    }
}

/// Starts a prepared call and kills it, and what it forked, as it enters its `nth` changing system call
/// (from 0). Whether it came that far.
pub(crate) fn kill_at(call: &mut Command, stdin: &str, nth: usize) -> bool {
    let mut entered = 0;
    trace(call, stdin, |stop| {
        if stop.changes() {
            entered += 1;
        }
        if entered > nth { Next::Kill } else { Next::Go }
    })
}

/// Starts a prepared call and asks before and after each of its system calls what is to become of it.
/// Whether it was killed.
pub(crate) fn trace(call: &mut Command, stdin: &str, judge: impl FnMut(&Stop) -> Next) -> bool {
    // SAFETY: ptrace(PTRACE_TRACEME) is async-signal-safe.
    unsafe { call.pre_exec(|| ptrace::traceme().map_err(std::io::Error::from)) };
    let mut child = call.spawn().unwrap();
    let main = Pid::from_raw(child.id().cast_signed());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.as_bytes())
        .unwrap();
    assert!(matches!(wait(), WaitStatus::Stopped(_, Signal::SIGTRAP)));
    ptrace::setoptions(
        main,
        Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_EXITKILL,
    )
    .unwrap();
    let killed = follow(main, judge);
    // Already waited for; this only tells the standard library.
    let _ = child.wait();
    killed
}

/// Waits for a child of this thread only: other tests have children too.
fn wait() -> WaitStatus {
    waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap()
}

fn follow(main: Pid, mut judge: impl FnMut(&Stop) -> Next) -> bool {
    // Which processes there are, and whether each is inside a system call.
    let mut inside = HashMap::from([(main, false)]);
    ptrace::syscall(main, None).unwrap();
    while !inside.is_empty() {
        let pid = match wait() {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                inside.remove(&pid);
                continue;
            }
            WaitStatus::PtraceSyscall(pid) => {
                let entering = !inside.get(&pid).copied().unwrap_or(false);
                inside.insert(pid, entering);
                let stop = Stop {
                    is_main: pid == main,
                    entering,
                    pid,
                    registers: ptrace::getregs(pid).unwrap(),
                };
                match judge(&stop) {
                    Next::Go => pid,
                    Next::Hold => continue,
                    Next::Kill => return kill_all(&inside),
                }
            }
            WaitStatus::PtraceEvent(pid, ..) => {
                // It announces a process, which may be seen only later.
                let new = ptrace::getevent(pid).unwrap();
                inside
                    .entry(Pid::from_raw(i32::try_from(new).unwrap()))
                    .or_insert(false);
                pid
            }
            status => {
                let pid = status.pid().unwrap();
                inside.entry(pid).or_insert(false);
                pid
            }
        };
        let _ = ptrace::syscall(pid, None);
    }
    false
}

fn kill_all(all: &HashMap<Pid, bool>) -> bool {
    for pid in all.keys() {
        kill(*pid, Signal::SIGKILL).unwrap();
    }
    let mut alive = all.len();
    while alive > 0 {
        if matches!(wait(), WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
            alive -= 1;
        }
    }
    true
}
