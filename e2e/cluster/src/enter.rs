//! Working inside a member's namespaces from outside.

use std::fs::{self, File};
use std::process::{Command, ExitCode};
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns};
use nix::unistd::chdir;

use crate::member::{self, Process};
use crate::plan::{Cluster, Member};

/// Runs `work` on a thread of its own in the process's network namespace. Programs that `work`
/// starts are in that namespace too.
pub(crate) fn network<T: Send>(
    process: &Process,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let namespace = open(process, "net")?;
    thread::scope(|scope| {
        let task = scope.spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).context("enter the network namespace")?;
            work()
        });
        task.join()
            .map_err(|_| anyhow!("the thread in the network namespace panicked"))?
    })
}

/// Turns this process into one of the member's and runs a command there; for a program with one
/// thread only.
pub(crate) fn exec(cluster: &Cluster, member: Member, command: &[String]) -> Result<ExitCode> {
    let process = member::require(cluster, member)?;
    let (program, args) = command.split_first().context("no command given")?;
    // All are opened first: /proc is another one as soon as the mount namespace is.
    let kinds = match member {
        Member::Api => &[][..],
        Member::Node(_) => &["cgroup", "uts", "ipc", "net", "pid", "mnt"][..],
        Member::ControlPlane | Member::Outside => &["uts", "ipc", "net", "pid", "mnt"][..],
    };
    let namespaces: Vec<(&str, File)> = kinds
        .iter()
        .map(|&kind| Ok((kind, open(&process, kind)?)))
        .collect::<Result<_>>()?;
    for (kind, namespace) in namespaces {
        setns(namespace, CloneFlags::empty())
            .with_context(|| format!("enter the {kind} namespace of {member}"))?;
    }
    chdir("/").context("change to /")?;
    let status = Command::new(program)
        .args(args)
        .env("PATH", cluster.search_path())
        .env("KUBECONFIG", cluster.pki("admin.kubeconfig"))
        .status()
        .with_context(|| format!("run {program}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Prints what one of the member's services wrote.
pub(crate) fn log(cluster: &Cluster, member: Member, component: Option<&str>) -> Result<String> {
    let prefix = format!("{member}-");
    let Some(component) = component else {
        return Ok(components(cluster, &prefix)?.join("\n") + "\n");
    };
    let path = cluster.log(member, component);
    fs::read(&path)
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .map_err(|_| {
            let known = components(cluster, &prefix).unwrap_or_default().join(", ");
            anyhow!("{member} has no log of {component}: it has {known}")
        })
}

fn components(cluster: &Cluster, prefix: &str) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(cluster.home.join("log")).context("list the logs")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let component = name
            .strip_prefix(prefix)
            .and_then(|rest| rest.strip_suffix(".log"));
        names.extend(component.map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn open(process: &Process, kind: &str) -> Result<File> {
    let path = format!("/proc/{}/ns/{kind}", process.pid);
    File::open(&path).with_context(|| format!("open {path}"))
}
