//! Starting a member: a short-lived process makes the namespaces, so that its child is pid 1.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write, stdin};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::setsid;

use crate::cgroup::Groups;
use crate::cli;
use crate::member::{self, Process};
use crate::plan::{Cluster, Member};

/// Starts a member unless it runs, and returns its process.
pub(crate) fn ensure(cluster: &Cluster, member: Member) -> Result<Process> {
    if let Some(process) = member::running(cluster, member)? {
        return Ok(process);
    }
    for folder in ["log", "members"] {
        fs::create_dir_all(cluster.home.join(folder))?;
    }
    fs::create_dir_all(cluster.folder(member))?;
    let output = this_program(cluster, cli::STAGE, member)?
        .stdin(Stdio::null())
        .output()
        .context("start fairlead-lab")?;
    if !output.status.success() {
        bail!(
            "start {member}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    member::require(cluster, member)
}

/// The process in between. Its child waits until its record is on disk, so that no crash leaves a
/// process that `down` does not know.
pub(crate) fn run(cluster: &Cluster, member: Member) -> Result<()> {
    setsid().context("leave the terminal's session")?;
    let groups = matches!(member, Member::Node(_))
        .then(Groups::detect)
        .transpose()?;
    if let Some(groups) = &groups {
        groups.join(cluster, member)?;
    }
    unshare(namespaces(member)).with_context(|| format!("make namespaces of {member}"))?;
    if let Some(groups) = &groups {
        groups.settle(cluster, member)?;
    }
    let log = File::options()
        .create(true)
        .append(true)
        .open(cluster.log(member, "init"))
        .context("open the log")?;
    let mut child = this_program(cluster, cli::INIT, member)?
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start the first process of the namespaces")?;
    member::record_process(cluster, member, &Process::of(i32::try_from(child.id())?)?)?;
    if let Some(mut go) = child.stdin.take() {
        go.write_all(b"g").context("release the first process")?;
    }
    Ok(())
}

/// Whether this process has been recorded; false when its parent died first.
pub(crate) fn is_released() -> bool {
    let mut byte = [0];
    matches!(stdin().read(&mut byte), Ok(1))
}

fn this_program(cluster: &Cluster, subcommand: &str, member: Member) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command
        .arg(subcommand)
        .arg(cluster.file())
        .arg(member.to_string());
    command.env("PATH", cluster.search_path()).current_dir("/");
    Ok(command)
}

fn namespaces(member: Member) -> CloneFlags {
    let contained = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWPID;
    let named = CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC;
    match member {
        Member::Api => CloneFlags::empty(),
        Member::Outside | Member::ControlPlane => contained | named,
        Member::Node(_) => contained | named | CloneFlags::CLONE_NEWCGROUP,
    }
}
