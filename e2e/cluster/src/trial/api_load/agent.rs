//! The agent's process on a node: what it has received from the API server and what it has used.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::plan::{API_PORT, Cluster, Member};
use crate::progress::Progress;
use crate::{chart, enter, member};

/// How many pods of the cluster an agent knows.
const PODS: &str = "fairlead_policy_pods";
/// The program's name in `/proc/<pid>/comm`.
const NAME: &str = "fairlead-agent\n";
/// It has settled when it has received next to nothing for so long.
const QUIET: Duration = Duration::from_secs(3);
/// What renewals and other watches may bring meanwhile.
const NEXT_TO_NOTHING: u64 = 20_000;
const LIMIT: Duration = Duration::from_mins(5);
/// Between two looks at it, which cost time of the same processors.
const PAUSE: Duration = Duration::from_millis(500);
/// `sysconf(_SC_CLK_TCK)` of every Linux on this architecture.
const TICKS: u64 = 100;

/// What it has used since it started.
#[derive(Debug)]
pub(super) struct Cost {
    received: Received,
    pub(super) cpu: Duration,
    /// Resident memory in bytes now and at most.
    pub(super) resident: u64,
    pub(super) peak: u64,
}

impl Cost {
    /// Bytes from the API server, as TCP counts them.
    pub(super) fn received(&self) -> u64 {
        self.received.values().sum()
    }

    /// What was used after `earlier`.
    pub(super) fn since(self, earlier: &Self) -> Self {
        Self {
            received: later(self.received, &earlier.received),
            cpu: self.cpu.saturating_sub(earlier.cpu),
            ..self
        }
    }
}

#[cfg(test)]
impl Cost {
    pub(super) fn of(received: u64, cpu: Duration) -> Self {
        Self {
            received: Received::from([(String::new(), received)]),
            cpu,
            resident: 57_000_000,
            peak: 63_000_000,
        }
    }
}

/// Bytes by connection, which is known by its own end.
type Received = BTreeMap<String, u64>;

/// What came since `earlier`. Connections may have closed and others begun.
fn later(mut now: Received, earlier: &Received) -> Received {
    for (connection, bytes) in &mut now {
        *bytes = bytes.saturating_sub(earlier.get(connection).copied().unwrap_or(0));
    }
    now
}

/// A process of the agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agent {
    /// The node's name.
    name: String,
    node: member::Process,
    own: member::Process,
}

impl Agent {
    /// The one that runs in a node's network now.
    pub(super) fn find(cluster: &Cluster, node: Member) -> Result<Option<Self>> {
        let own_name = node.to_string();
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
                return Ok(Some(Self {
                    name: own_name,
                    node,
                    own,
                }));
            }
        }
        Ok(None)
    }

    pub(super) fn is_alive(&self) -> Result<bool> {
        self.own.is_alive()
    }

    /// Its cost once it knows so many pods, and the API server tells it nothing more.
    pub(super) fn settled(
        &self,
        cluster: &Cluster,
        pods: u32,
        progress: &Progress,
    ) -> Result<Cost> {
        progress.wait("the agent knows all pods", LIMIT, || {
            thread::sleep(PAUSE);
            ensure!(self.is_alive()?, "the agent ended");
            // It does not answer before it has read nearly everything.
            let pod = chart::agent_pod(cluster, &self.name)?;
            let known = chart::metric(cluster, &pod, PODS).unwrap_or(0);
            Ok((known >= pods).then_some(()))
        })?;
        let mut last = (self.cost()?.received(), Instant::now());
        progress.wait("the agent has read everything", LIMIT, || {
            thread::sleep(PAUSE);
            let now = self.cost()?;
            if now.received() > last.0 + NEXT_TO_NOTHING {
                last = (now.received(), Instant::now());
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

/// The bytes of a process's connections to the API server, out of what `ss -tinp` prints.
fn received(sockets: &str, pid: i32) -> Received {
    let owner = format!("pid={pid},");
    // The Service that every pod knows, unless the chart was told another way.
    let ports = [format!(":{API_PORT}"), ":443".to_owned()];
    let mut lines = sockets.lines();
    let mut all = Received::new();
    while let (Some(head), Some(info)) = (lines.next(), lines.next()) {
        let mut fields = head.split_ascii_whitespace().skip(2);
        let (Some(own), Some(peer)) = (fields.next(), fields.next()) else {
            continue;
        };
        let bytes = info
            .split_ascii_whitespace()
            .find_map(|field| field.strip_prefix("bytes_received:"))
            .and_then(|bytes| bytes.parse().ok());
        if let Some(bytes) = bytes
            && head.contains(&owner)
            && ports.iter().any(|port| peer.ends_with(port))
        {
            all.insert(own.to_owned(), bytes);
        }
    }
    all
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
        let wanted = [("10.240.0.11:4000", 100), ("10.240.0.11:4003", 11)];
        assert_eq!(received(sockets, 7), bytes(&wanted));
    }

    #[test]
    fn a_connection_that_closes_takes_nothing_from_what_the_others_bring() {
        let earlier = bytes(&[("a", 100), ("b", 10)]);
        let now = bytes(&[("b", 15), ("c", 3)]);
        assert_eq!(later(now, &earlier), bytes(&[("b", 5), ("c", 3)]));
    }

    fn bytes(connections: &[(&str, u64)]) -> Received {
        let owned = |&(name, bytes): &(&str, u64)| (name.to_owned(), bytes);
        connections.iter().map(owned).collect()
    }
}
