//! What pid 1 does: it starts services, restarts those that end and reaps orphans. A service can be
//! held down from outside for as long as a [`Hold`] lives.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

use crate::plan::{Cluster, Member};
use crate::this;

const RESTART_DELAY: Duration = Duration::from_secs(1);

/// A program that should run for as long as its member.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    name: &'static str,
    program: PathBuf,
    args: Vec<OsString>,
}

impl Service {
    pub(crate) fn new(name: &'static str, program: impl Into<PathBuf>) -> Self {
        Self {
            name,
            program: program.into(),
            args: Vec::new(),
        }
    }

    pub(crate) fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }
}

/// The services of one member, by pid. Owned by the member's first process.
#[derive(Debug)]
pub(crate) struct Supervisor<'a> {
    cluster: &'a Cluster,
    member: Member,
    running: BTreeMap<i32, Service>,
    /// Ended, and not to be started yet.
    ended: Vec<Service>,
}

impl<'a> Supervisor<'a> {
    pub(crate) fn new(cluster: &'a Cluster, member: Member) -> Self {
        Self {
            cluster,
            member,
            running: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    /// Starts a service; its output goes to its own log.
    pub(crate) fn start(&mut self, service: Service) -> Result<()> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.cluster.log(self.member, service.name))?;
        let child = Command::new(&service.program)
            .args(&service.args)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", service.program.display()))?;
        let pid = i32::try_from(child.id())?;
        fs::write(
            pid_file(self.cluster, self.member, service.name),
            pid.to_string(),
        )?;
        self.running.insert(pid, service);
        Ok(())
    }

    /// Reaps and restarts for ever.
    pub(crate) fn run(mut self) -> Result<()> {
        loop {
            let flags = if self.ended.is_empty() {
                WaitPidFlag::empty()
            } else {
                WaitPidFlag::WNOHANG
            };
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::StillAlive) => {
                    thread::sleep(RESTART_DELAY);
                    self.start_again()?;
                }
                Ok(status @ (WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, _, _))) => {
                    if let Some(service) = self.running.remove(&ended.as_raw()) {
                        eprintln!("{} ended ({status:?}), starting it again", service.name);
                        self.ended.push(service);
                    }
                }
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("wait for a process"),
            }
        }
    }

    /// Starts what has ended, but for what is held.
    fn start_again(&mut self) -> Result<()> {
        for service in std::mem::take(&mut self.ended) {
            if hold_file(self.cluster, self.member, service.name).exists() {
                self.ended.push(service);
            } else {
                self.start(service)?;
            }
        }
        Ok(())
    }
}

/// Keeps a member's service down until it is dropped.
#[derive(Debug)]
pub(crate) struct Hold(PathBuf);

impl Hold {
    /// Kills the service and keeps it from being started again.
    pub(crate) fn new(cluster: &Cluster, member: Member, service: &str) -> Result<Self> {
        let file = hold_file(cluster, member, service);
        fs::write(&file, "").with_context(|| format!("write {}", file.display()))?;
        let hold = Self(file);
        let pid = fs::read_to_string(pid_file(cluster, member, service))
            .with_context(|| format!("{member} runs no {service}"))?;
        let mut kill = this::inside(cluster, member)?;
        this::output(kill.args(["sh", "-c", &format!("kill -KILL {pid}")]), "")?;
        Ok(hold)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Holds the service's pid in the member's own numbering.
fn pid_file(cluster: &Cluster, member: Member, service: &str) -> PathBuf {
    cluster.folder(member).join(format!("{service}.pid"))
}

fn hold_file(cluster: &Cluster, member: Member, service: &str) -> PathBuf {
    cluster.folder(member).join(format!("{service}.hold"))
}
