//! kill -9 at a chosen system call, by ptrace(2): the program under test is the one that ships, without a hook.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::libc::{self, c_long};
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

/// Starts a prepared call and kills it, and what it forked, as it enters its `nth` changing system call
/// (from 0). Whether it came that far.
pub(crate) fn kill_at(call: &mut Command, stdin: &str, nth: usize) -> bool {
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
    let reached = follow(main, nth);
    // Already waited for; this only tells the standard library.
    let _ = child.wait();
    reached
}

/// Waits for a child of this thread only: other tests have children too.
fn wait() -> WaitStatus {
    waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)).unwrap()
}

fn follow(main: Pid, nth: usize) -> bool {
    // Which processes there are, and whether each is inside a system call.
    let mut inside = HashMap::from([(main, false)]);
    let mut entered = 0;
    ptrace::syscall(main, None).unwrap();
    while !inside.is_empty() {
        let pid = match wait() {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) => {
                inside.remove(&pid);
                continue;
            }
            WaitStatus::PtraceSyscall(pid) => {
                let entering = !inside.insert(pid, true).unwrap_or(false);
                inside.insert(pid, entering);
                if entering && changes(pid) {
                    if entered == nth {
                        return stop(&inside);
                    }
                    entered += 1;
                }
                pid
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

fn changes(pid: Pid) -> bool {
    let registers = ptrace::getregs(pid).unwrap();
    CHANGES.contains(&registers.orig_rax.cast_signed())
}

fn stop(all: &HashMap<Pid, bool>) -> bool {
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
