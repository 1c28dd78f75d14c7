//! The agent's process on a node: what it has received from the API server and what it has used.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::plan::{API_PORT, Cluster, Member};
use crate::progress::Progress;
use crate::{enter, member};

/// The program's name in `/proc/<pid>/comm`.
const NAME: &str = "fairlead-agent\n";
/// It has settled when it has received next to nothing for so long.
const QUIET: Duration = Duration::from_secs(3);
/// What renewals and other watches may bring meanwhile.
const NEXT_TO_NOTHING: u64 = 20_000;
const LIMIT: Duration = Duration::from_mins(5);
/// `sysconf(_SC_CLK_TCK)` of every Linux on this architecture.
const TICKS: u64 = 100;

/// What it has used since it started.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// Bytes from the API server, as TCP counts them.
    pub(super) received: u64,
    pub(super) cpu: Duration,
    /// Resident memory in bytes now and at most.
    pub(super) resident: u64,
    pub(super) peak: u64,
}

impl Cost {
    pub(super) fn since(self, earlier: &Self) -> Self {
        Self {
            received: self.received.saturating_sub(earlier.received),
            cpu: self.cpu.saturating_sub(earlier.cpu),
            ..self
        }
    }
}

/// A process of the agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent {
    node: member::Process,
    own: member::Process,
}

impl Agent {
    /// The one that runs in a node's network now.
    pub(super) fn find(cluster: &Cluster, node: Member) -> Result<Option<Self>> {
        let node = member::require(cluster, node)?;
        let network = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let wanted = network(node.pid).context("the node has no network")?;
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse() else {
                continue;
            };
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            if name.is_ok_and(|name| name == NAME) && network(pid).as_ref() == Some(&wanted) {
                let own = member::Process::of(pid)?;
                return Ok(Some(Self { node, own }));
            }
        }
        Ok(None)
    }

    pub(super) fn is_alive(&self) -> Result<bool> {
        self.own.is_alive()
    }

    /// Its cost as soon as the API server tells it nothing more.
    pub(super) fn settled(&self, progress: &Progress) -> Result<Cost> {
        let mut last = (self.cost()?, Instant::now());
        progress.wait("the agent has read everything", LIMIT, || {
            let now = self.cost()?;
            if now.received > last.0.received + NEXT_TO_NOTHING || now.received == 0 {
                last = (now, Instant::now());
            }
            Ok((last.1.elapsed() > QUIET).then_some(now))
        })
    }

    fn cost(&self) -> Result<Cost> {
        ensure!(self.is_alive()?, "the agent ended");
        let pid = self.own.pid;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, fields) = stat.rsplit_once(") ").context("/proc/<pid>/stat")?;
        let field = |n: usize| {
            fields
                .split(' ')
                .nth(n)
                .and_then(|field| field.parse::<u64>().ok())
        };
        let ticks = field(11).zip(field(12)).map(|(user, system)| user + system);
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let kib = |key: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            Ok(line
                .context("no such line")?
                .trim()
                .trim_end_matches(" kB")
                .parse()?)
        };
        let sockets = enter::network(&self.node, || {
            let output = Command::new("ss")
                .args(["-Htinp", "state", "established"])
                .output()?;
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })?;
        Ok(Cost {
            received: received(&sockets, pid),
            cpu: Duration::from_millis(ticks.context("/proc/<pid>/stat")? * 1000 / TICKS),
            resident: kib("VmRSS:")? * 1024,
            peak: kib("VmHWM:")? * 1024,
        })
    }
}

/// The sum over a process's connections to the API server, out of what `ss -tinp` prints.
fn received(sockets: &str, pid: i32) -> u64 {
    let owner = format!("pid={pid},");
    // The Service that every pod knows, unless the chart was told another way.
    let ports = [format!(":{API_PORT} "), ":443 ".to_owned()];
    let mut lines = sockets.lines();
    let mut sum = 0;
    while let (Some(head), Some(info)) = (lines.next(), lines.next()) {
        if head.contains(&owner) && ports.iter().any(|port| head.contains(port)) {
            let fields = info.split_ascii_whitespace();
            let bytes = fields.filter_map(|field| field.strip_prefix("bytes_received:"));
            sum += bytes
                .filter_map(|bytes| bytes.parse::<u64>().ok())
                .sum::<u64>();
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_of_the_process_to_the_api_server_count() {
        let sockets = "0 0 10.240.0.11:4000 10.240.0.1:6443 users:((\"fairlead-agent\",pid=7,fd=9))\n\
                       \t cubic wscale:7,7 bytes_sent:5 bytes_received:100 segs_out:1\n\
                       0 0 10.240.0.11:4001 10.240.0.1:6443 users:((\"kubelet\",pid=8,fd=9))\n\
                       \t cubic bytes_received:1000\n\
                       0 0 10.240.0.11:4002 10.240.0.1:80 users:((\"fairlead-agent\",pid=7,fd=10))\n\
                       \t cubic bytes_received:10000\n\
                       0 0 10.240.0.11:4003 10.96.0.1:443 users:((\"fairlead-agent\",pid=7,fd=11))\n\
                       \t cubic bytes_received:11\n";
        assert_eq!(received(sockets, 7), 111);
    }
}
