//! Processes of the machine: which they are, what time and memory they take.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::time::{ClockId, clock_getcpuclockid};
use nix::unistd::Pid;

use crate::sample::duration;

/// A process by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        Self(pid)
    }

    /// The driver.
    pub(super) fn driver() -> Result<Self> {
        let mut all = all()?.into_iter();
        all.find(|it| {
            it.words()
                .first()
                .is_some_and(|first| first.ends_with("/fairlead-csi"))
                && it.runs("run")
        })
        .context("fairlead-csi does not run")
    }

    /// The workers that it has started, one a volume group.
    pub(super) fn workers(self) -> Result<Vec<Self>> {
        let all = all()?.into_iter();
        Ok(all
            .filter(|it| it.parent() == Some(self.0) && it.runs("lvm-worker"))
            .collect())
    }

    /// Whether its first argument is this one.
    fn runs(self, argument: &str) -> bool {
        self.words().get(1).is_some_and(|word| word == argument)
    }

    fn words(self) -> Vec<String> {
        let words = fs::read(format!("/proc/{}/cmdline", self.0)).unwrap_or_default();
        let words = words.split(|byte| *byte == 0);
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    /// The fourth field of its `stat`, behind the name in brackets.
    fn parent(self) -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        let (_, behind) = stat.rsplit_once(')')?;
        behind.split_whitespace().nth(1)?.parse().ok()
    }

    /// Processor time of all its threads, also of those that have ended.
    pub(super) fn cpu(self) -> Result<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(self.0.cast_signed()))
            .with_context(|| format!("processor time of process {}", self.0))?;
        Ok(ClockId::from_raw(clock.as_raw()).now()?.into())
    }

    /// Bytes of resident memory.
    pub(super) fn resident(self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.0);
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
        let kib: u64 = kib
            .with_context(|| format!("VmRSS in {path}"))?
            .trim()
            .parse()?;
        Ok(kib << 10)
    }

    /// A variable of its environment.
    pub(super) fn variable(self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/environ", self.0);
        let all = fs::read(&path).with_context(|| format!("read {path}"))?;
        let mut pairs = all.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let value =
            pairs.find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
        value.with_context(|| format!("{name} in {path}"))
    }
}

fn all() -> Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        found.extend(entry?.file_name().to_string_lossy().parse().map(Process));
    }
    found.sort_unstable_by_key(|it| it.0);
    Ok(found)
}

/// Processor time of this process and of all that it started and has waited for.
pub(super) fn own() -> Result<Duration> {
    let mut all = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        all += duration(usage.user_time()) + duration(usage.system_time());
    }
    Ok(all)
}
