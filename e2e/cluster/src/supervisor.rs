//! What pid 1 does: it starts services, restarts those that end and reaps orphans.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};

use crate::plan::{Cluster, Member};

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
}

impl<'a> Supervisor<'a> {
    pub(crate) fn new(cluster: &'a Cluster, member: Member) -> Self {
        Self {
            cluster,
            member,
            running: BTreeMap::new(),
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
        self.running.insert(i32::try_from(child.id())?, service);
        Ok(())
    }

    /// Reaps and restarts for ever.
    pub(crate) fn run(mut self) -> Result<()> {
        loop {
            let status = match wait() {
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error).context("wait for a process"),
            };
            let (WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, _, _)) = status else {
                continue;
            };
            if let Some(service) = self.running.remove(&ended.as_raw()) {
                eprintln!("{} ended ({status:?}), starting it again", service.name);
                thread::sleep(RESTART_DELAY);
                self.start(service)?;
            }
        }
    }
}
