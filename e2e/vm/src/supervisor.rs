//! The process between the caller and the machine: nothing of a machine outlives it, nor it the caller.

use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::mpsc;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scratch;

/// Hidden subcommand: the supervisor. Its standard input is the guest's serial line, its output the console.
pub(crate) const MACHINE: &str = "machine";
/// Hidden subcommand: first process of the namespace.
pub(crate) const KERNEL: &str = "kernel";

/// Runs a kernel in a pid namespace of its own, and ends it, with all its processes, when the caller hangs up.
pub(crate) fn machine(command: &[String]) -> Result<()> {
    let this = std::env::current_exe()?;
    // A process that makes children in another namespace can make no threads.
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        if let Ok(first) = told.recv() {
            hang_up();
            // The first process takes the whole namespace with it.
            let _ = kill(first, Signal::SIGKILL);
        }
    });
    unshare(CloneFlags::CLONE_NEWPID)
        .context("a pid namespace for the machine: this needs root")?;
    // The child's death signal is bound to the thread that makes it: this one.
    let mut first = Command::new(this)
        .arg(KERNEL)
        .arg("--")
        .args(command)
        .spawn()?;
    tell.send(Pid::from_raw(first.id().cast_signed()))?;
    first.wait()?;
    scratch::sweep();
    Ok(())
}

/// Waits until the caller hangs up.
fn hang_up() {
    let line = std::io::stdin();
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    loop {
        let mut wait = [PollFd::new(line.as_fd(), PollFlags::empty())];
        let seen = poll(&mut wait, PollTimeout::NONE);
        if seen.is_ok() && wait[0].revents().is_some_and(|seen| seen.intersects(gone)) {
            return;
        }
    }
}

/// Runs the kernel as second process of the namespace: a first one cannot abort, and the kernel does when it panics.
pub(crate) fn kernel(command: &[String]) -> Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    let (program, arguments) = command.split_first().context("no kernel named")?;
    // It sends signals to its process group.
    let kernel = Command::new(program)
        .args(arguments)
        .process_group(0)
        .spawn();
    kernel
        .with_context(|| format!("starting {program}"))?
        .wait()?;
    Ok(())
}
