//! Which process is a member: its pid together with what makes the pid unambiguous.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::plan::{Cluster, Member};
use crate::poll;

/// A process of one boot: pids are reused, a pid with its start time is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// In clock ticks since boot, `proc(5)` field 22.
    start_time: u64,
    boot_id: String,
}

impl Process {
    /// Identifies a running process.
    pub(crate) fn of(pid: i32) -> Result<Self> {
        let start_time =
            start_time(pid)?.with_context(|| format!("process {pid} has already ended"))?;
        Ok(Self {
            pid,
            start_time,
            boot_id: boot_id()?,
        })
    }

    /// Whether it still runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> Result<bool> {
        Ok(self.boot_id == boot_id()? && start_time(self.pid)? == Some(self.start_time))
    }

    /// Kills it and waits until it is gone. A process that is gone is success.
    pub(crate) fn end(&self) -> Result<()> {
        if !self.is_alive()? {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), Signal::SIGKILL) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => return Err(error).context(format!("kill process {}", self.pid)),
        }
        let what = format!("end of process {}", self.pid);
        poll::until(&what, Duration::from_secs(30), || {
            Ok((!self.is_alive()?).then_some(()))
        })
    }
}

/// The process recorded for a member, dead or alive.
pub(crate) fn recorded(cluster: &Cluster, member: Member) -> Result<Option<Process>> {
    let path = record(cluster, member);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let process = serde_json::from_str(&text)
        .with_context(|| format!("{} is not a process record", path.display()))?;
    Ok(Some(process))
}

/// The member's process if it runs.
pub(crate) fn running(cluster: &Cluster, member: Member) -> Result<Option<Process>> {
    match recorded(cluster, member)? {
        Some(process) if process.is_alive()? => Ok(Some(process)),
        _ => Ok(None),
    }
}

/// As [`running`], for callers that need it.
pub(crate) fn require(cluster: &Cluster, member: Member) -> Result<Process> {
    running(cluster, member)?.with_context(|| {
        format!(
            "{member} of cluster {} does not run: start it with `fairlead-lab up`",
            cluster.name
        )
    })
}

/// Records the process of a member.
pub(crate) fn record_process(cluster: &Cluster, member: Member, process: &Process) -> Result<()> {
    let path = record(cluster, member);
    let partial = path.with_extension("partial");
    fs::write(&partial, serde_json::to_vec(process)?)?;
    fs::rename(&partial, &path).with_context(|| format!("write {}", path.display()))
}

fn record(cluster: &Cluster, member: Member) -> PathBuf {
    cluster.home.join("members").join(format!("{member}.json"))
}

/// The start time of a living process; `None` for a zombie or when there is none.
fn start_time(pid: i32) -> Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        // A process that ends during the read gives ESRCH.
        Err(error) if error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(3) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("read /proc/{pid}/stat")),
    };
    let (state, ticks) =
        parse_stat(&stat).with_context(|| format!("/proc/{pid}/stat has an unknown form"))?;
    Ok((!matches!(state, 'Z' | 'X')).then_some(ticks))
}

/// The state letter and the start time of a line of `/proc/<pid>/stat`.
fn parse_stat(line: &str) -> Option<(char, u64)> {
    // The second field is the program's name in brackets, which may hold anything.
    let (_, rest) = line.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some((
        fields.first()?.chars().next()?,
        fields.get(19)?.parse().ok()?,
    ))
}

fn boot_id() -> Result<String> {
    let path = "/proc/sys/kernel/random/boot_id";
    let id = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_confuse_the_fields() {
        let fields = "S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let line = format!("7 (a) b (c) {fields}");
        assert_eq!(parse_stat(&line), Some(('S', 4711)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_the_same_pid() {
        let this = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(this.is_alive().unwrap());
        let earlier = Process {
            start_time: this.start_time - 1,
            ..this.clone()
        };
        assert!(!earlier.is_alive().unwrap());
        let other_boot = Process {
            boot_id: "another".into(),
            ..this
        };
        assert!(!other_boot.is_alive().unwrap());
    }

    #[test]
    fn ending_a_process_twice_is_success() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of(i32::try_from(child.id()).unwrap()).unwrap();
        process.end().unwrap();
        child.wait().unwrap();
        process.end().unwrap();
    }
}
