//! Tables in Markdown; progress goes to standard error.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::call::Verb;
use crate::peers::{Memory, PeersRow, Work};
use crate::policy::{AgentRows, By, Network as PolicyNetwork, PolicyRow, Trip};
use crate::sample::Sample;
use crate::storage;
use crate::subject::{Kind, Network};
use crate::traffic::{self, TrafficRow};

/// One verb of all subjects under the same conditions.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) network: Network,
    pub(crate) at_once: usize,
    pub(crate) verb: Verb,
    pub(crate) columns: Vec<Column>,
}

/// One subject on a node with `before` pods.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) kind: Kind,
    pub(crate) before: usize,
    pub(crate) sample: Sample,
}

impl Row {
    pub(crate) fn of(&self, kind: Kind, before: usize) -> Option<&Sample> {
        let column = self
            .columns
            .iter()
            .find(|c| (c.kind, c.before) == (kind, before));
        column.map(|column| &column.sample)
    }
}

/// One way to keep addresses.
#[derive(Debug, Clone)]
pub(crate) struct IpamRow {
    pub(crate) name: &'static str,
    pub(crate) leases: usize,
    pub(crate) allocate: Sample,
    pub(crate) free: Sample,
}

/// One way to connect a pod.
#[derive(Debug, Clone)]
pub(crate) struct KernelRow {
    pub(crate) name: &'static str,
    pub(crate) made: Sample,
    pub(crate) deleted: Sample,
}

/// Everything measured so far.
#[derive(Debug)]
pub(crate) struct Report {
    start: Instant,
    pub(crate) rows: Vec<Row>,
    pub(crate) ipam: Vec<IpamRow>,
    pub(crate) peers: Vec<PeersRow>,
    pub(crate) memory: Option<Memory>,
    pub(crate) traffic: Vec<TrafficRow>,
    pub(crate) policy: Vec<PolicyRow>,
    pub(crate) agent: AgentRows,
    pub(crate) storage: Option<storage::Findings>,
    text: String,
    title: String,
}

impl Report {
    pub(crate) fn new() -> Self {
        let (rows, ipam) = (Vec::new(), Vec::new());
        Self {
            start: Instant::now(),
            rows,
            ipam,
            peers: Vec::new(),
            memory: None,
            traffic: Vec::new(),
            policy: Vec::new(),
            agent: AgentRows::default(),
            storage: None,
            text: String::new(),
            title: String::new(),
        }
    }

    /// Says what is going on.
    pub(crate) fn progress(&self, what: &str) {
        let seconds = self.start.elapsed().as_secs();
        let _ = writeln!(std::io::stderr(), "[{seconds:4} s] {what}");
    }

    pub(crate) fn row(&mut self, title: &str, row: Row) {
        self.begin(
            title,
            "| verb | at once | plugin | pods before | p50 ms | p99 ms | CPU ms | released ms | p50 ratio | CPU ratio |",
        );
        for (
            index,
            Column {
                kind,
                before,
                sample,
            },
        ) in row.columns.iter().enumerate()
        {
            let ratios = match row.columns.first() {
                Some(Column { sample: first, .. }) if index > 0 => (
                    ratio(sample.p50(), first.p50()),
                    ratio(sample.cpu_each(), first.cpu_each()),
                ),
                _ => (String::new(), String::new()),
            };
            let released = if sample.released.is_empty() {
                String::new()
            } else {
                ms(sample.released_p50())
            };
            self.line(&[
                row.verb.name(),
                &row.at_once.to_string(),
                kind.name(),
                &before.to_string(),
                &ms(sample.p50()),
                &ms(sample.p99()),
                &ms(sample.cpu_each()),
                &released,
                &ratios.0,
                &ratios.1,
            ]);
        }
        self.rows.push(row);
    }

    /// ADDs and DELs of each subject.
    pub(crate) fn burst(
        &mut self,
        title: &str,
        network: Network,
        samples: &[(Kind, Sample, Sample)],
    ) {
        self.begin(
            title,
            "| network | verb | plugin | all done s | per second | p50 ms | p99 ms | CPU ms | time ratio |",
        );
        let reference = samples.iter().find(|(kind, ..)| *kind == Kind::Reference);
        for verb in [Verb::Add, Verb::Del] {
            let of = |(_, add, del): &(Kind, Sample, Sample)| {
                if verb == Verb::Add {
                    add.clone()
                } else {
                    del.clone()
                }
            };
            for subject in samples {
                let sample = of(subject);
                let against = reference.filter(|_| subject.0 != Kind::Reference);
                let times = against.map_or_else(String::new, |r| ratio(sample.total, of(r).total));
                self.line(&[
                    network.name(),
                    verb.name(),
                    subject.0.name(),
                    &format!("{:.2}", sample.total.as_secs_f64()),
                    &format!("{:.0}", sample.rate()),
                    &ms(sample.p50()),
                    &ms(sample.p99()),
                    &ms(sample.cpu_each()),
                    &times,
                ]);
            }
        }
    }

    pub(crate) fn ipam(&mut self, row: IpamRow) {
        self.begin(
            "Addresses alone, IPv4",
            "| leases | how | allocate p50 µs | p99 µs | CPU µs | free p50 µs | p99 µs | CPU µs |",
        );
        let (allocate, free) = (&row.allocate, &row.free);
        self.line(&[
            &row.leases.to_string(),
            row.name,
            &us(allocate.p50()),
            &us(allocate.p99()),
            &us(allocate.cpu_each()),
            &us(free.p50()),
            &us(free.p99()),
            &us(free.cpu_each()),
        ]);
        self.ipam.push(row);
    }

    #[expect(clippy::needless_pass_by_value, reason = "as the other rows")]
    pub(crate) fn kernel(&mut self, row: KernelRow) {
        self.begin(
            "Bare kernel work in process, IPv4",
            "| pair | make p50 ms | p99 ms | CPU ms | delete p50 ms | p99 ms | CPU ms |",
        );
        self.line(&[
            row.name,
            &ms(row.made.p50()),
            &ms(row.made.p99()),
            &ms(row.made.cpu_each()),
            &ms(row.deleted.p50()),
            &ms(row.deleted.p99()),
            &ms(row.deleted.cpu_each()),
        ]);
    }

    /// One kind of work, with ratios to flannel's shape.
    pub(crate) fn peers(&mut self, row: PeersRow) {
        self.begin(
            "Nodes behind the tunnel, IPv4",
            "| peers | what | entries written | wall ms | CPU ms | CPU, of flannel's shape |",
        );
        let flannel = self
            .peers
            .iter()
            .find(|other| (other.peers, other.work) == (row.peers, Work::Flannel));
        let against = flannel.map_or_else(String::new, |flannel| ratio(row.cpu(), flannel.cpu()));
        self.line(&[
            &row.peers.to_string(),
            row.work.name(),
            &row.written.to_string(),
            &ms(row.wall()),
            &ms(row.cpu()),
            &against,
        ]);
        self.peers.push(row);
    }

    /// An agent's memory.
    pub(crate) fn memory(&mut self, memory: Memory) {
        self.begin(
            "Memory of an agent that knows them all",
            "| nodes | resident MB | at most MB |",
        );
        let mb = |kib: u64| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
        self.line(&[
            &memory.nodes.to_string(),
            &mb(memory.resident),
            &mb(memory.peak),
        ]);
        self.memory = Some(memory);
    }

    /// All ways from pod to pod, with ratios to flannel.
    pub(crate) fn traffic(&mut self, rows: Vec<TrafficRow>) {
        self.begin(
            "Pod to pod on another node, IPv4, underlay of MTU 1500",
            "| way | Gb/s | Gb/s per CPU | of flannel's | UDP round trip p50 µs | shortest µs | of flannel's |",
        );
        let flannel = rows.iter().find(|row| row.kind == traffic::Kind::Flannel);
        for row in &rows {
            let against = |of: fn(&TrafficRow) -> f64| {
                flannel.map_or_else(String::new, |flannel| {
                    format!("{:.2}", of(row) / of(flannel))
                })
            };
            self.line(&[
                row.kind.name(),
                &format!("{:.2}", row.rate()),
                &format!("{:.2}", row.per_cpu()),
                &against(TrafficRow::per_cpu),
                &format!("{:.1}", row.trip().as_secs_f64() * 1e6),
                &format!("{:.1}", row.shortest().as_secs_f64() * 1e6),
                &against(|row| row.trip().as_secs_f64()),
            ]);
        }
        self.traffic = rows;
    }

    /// Packets through rules, with ratios to the same way without any.
    pub(crate) fn policy(&mut self, rows: Vec<PolicyRow>) {
        self.begin(
            "Packets through policy, IPv4",
            "| way | rules in front | byte there and back p50 µs | of plain | connection p50 µs | of plain | connections/s |",
        );
        for row in &rows {
            let plain = |network| match network {
                PolicyNetwork::AcrossNodes => (network, By::Nobody),
                PolicyNetwork::Service => (network, By::NoPolicy),
                _ => (PolicyNetwork::Routed, By::Nobody),
            };
            let plain = rows.iter().find(|other| {
                (other.subject.network, other.subject.by) == plain(row.subject.network)
            });
            let cells = |trip| {
                let p50 = row.p50(trip);
                let of =
                    plain.map_or_else(String::new, |plain| format!("{:.2}", p50 / plain.p50(trip)));
                (format!("{:.1}", p50 * 1e6), of)
            };
            let (byte, connection) = (cells(Trip::Byte), cells(Trip::Connection));
            self.line(&[
                &row.subject.name(),
                &row.subject.rules.to_string(),
                &byte.0,
                &byte.1,
                &connection.0,
                &connection.1,
                &format!("{:.0}", row.per_second(Trip::Connection)),
            ]);
        }
        self.policy = rows;
    }

    /// What the agent does for policy.
    pub(crate) fn policy_agent(&mut self, rows: AgentRows) {
        self.begin(
            "The agent's work for policy",
            "| what | policies | pods | p50 ms | p99 ms |",
        );
        let mut line = |what: &str, policies: u32, pods: u32, sample: &Sample| {
            let (policies, pods) = (policies.to_string(), pods.to_string());
            self.line(&[what, &policies, &pods, &ms(sample.p50()), &ms(sample.p99())]);
        };
        if let Some(row) = &rows.change {
            let (policies, pods) = (row.policies, row.pods);
            line(
                "label of a pod anywhere, event to enforced",
                policies,
                pods,
                &row.anywhere,
            );
            line(
                "label of a pod of this node, event to enforced",
                policies,
                pods,
                &row.here,
            );
            line(
                "everything compiled and written, from nothing",
                policies,
                pods,
                &row.whole,
            );
        }
        if let Some([without, with]) = &rows.adds {
            line("ADD without policy", 0, 1, without);
            line("ADD with policy", 1, 1, with);
        }
        self.begin(
            "Memory of an agent that knows all pods from a folder",
            "| policies | pods | resident MB | at most MB |",
        );
        for row in &rows.memory {
            let mb = |kib: u64| format!("{}.{}", kib / 1024, kib % 1024 * 10 / 1024);
            self.line(&[
                &row.policies.to_string(),
                &row.pods.to_string(),
                &mb(row.resident),
                &mb(row.peak),
            ]);
        }
        self.agent = rows;
    }

    /// The CSI driver beside LVM.
    pub(crate) fn storage(&mut self, findings: storage::Findings) {
        storage::tables(self, &findings);
        self.storage = Some(findings);
    }

    /// All tables so far.
    pub(crate) fn tables(&self) -> &str {
        &self.text
    }

    /// Writes to standard output.
    pub(crate) fn print(&self, text: &str) -> Result<()> {
        self.progress("done");
        Ok(std::io::stdout().write_all(text.as_bytes())?)
    }

    /// Begins a table, unless the last one has the same title.
    pub(crate) fn begin(&mut self, title: &str, head: &str) {
        if self.title != title {
            title.clone_into(&mut self.title);
            let columns = head.matches('|').count() - 1;
            let _ = writeln!(
                self.text,
                "\n### {title}\n\n{head}\n|{}",
                " --- |".repeat(columns)
            );
        }
    }

    /// A line of the table.
    pub(crate) fn line(&mut self, cells: &[&str]) {
        let _ = writeln!(self.text, "| {} |", cells.join(" | "));
    }
}

pub(crate) fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

pub(crate) fn us(time: Duration) -> String {
    format!("{:.0}", time.as_secs_f64() * 1e6)
}

/// `1/6.2` where ours is faster, `1.30` where it is not.
pub(crate) fn ratio(ours: Duration, theirs: Duration) -> String {
    let (ours, theirs) = (ours.as_secs_f64(), theirs.as_secs_f64());
    if ours <= 0.0 || theirs <= 0.0 {
        String::new()
    } else if ours < theirs {
        format!("1/{:.1}", theirs / ours)
    } else {
        format!("{:.2}", ours / theirs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_say_which_side_is_faster() {
        let ms = Duration::from_millis;
        assert_eq!(ratio(ms(2), ms(20)), "1/10.0");
        assert_eq!(ratio(ms(13), ms(10)), "1.30");
        assert_eq!(ratio(ms(0), ms(10)), "");
    }

    #[test]
    fn a_title_begins_one_table() {
        let mut report = Report::new();
        for name in ["routed", "bridged"] {
            let (made, deleted) = (Sample::default(), Sample::default());
            report.kernel(KernelRow {
                name,
                made,
                deleted,
            });
        }
        let text = report.tables();
        assert_eq!(
            (text.matches("###").count(), text.matches(" --- |").count()),
            (1, 7)
        );
        assert!(text.contains("| routed | 0.00 |") && text.contains("| bridged | 0.00 |"));
    }
}
