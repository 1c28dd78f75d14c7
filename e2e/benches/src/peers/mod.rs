//! What a node has to write for thousands of others behind the tunnel: our keepers against the same state in
//! flannel's shape, and the memory of an agent that knows them all.

mod flannel;
mod memory;
mod ours;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{Address, Route};
use fairlead_e2e_lab::{Namespace, connect};
use ipnetwork::{IpNetwork, Ipv4Network};

pub(crate) use memory::Memory;

use crate::report::Report;
use crate::subject::Programs;

/// How many other nodes there are.
pub(crate) const PEERS: [u16; 2] = [1000, 5000];

/// Ranges of the node whose address changes.
const RANGES: u16 = 16;

/// How long the kernel has to free a namespace with thousands of entries, which it does on anyone's time.
const FREED: Duration = Duration::from_secs(2);

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Everything from nothing, in flannel's shape: an entry, a request, an acknowledgement.
    Flannel,
    /// Everything from nothing.
    Cold,
    /// A comparison that finds nothing to do.
    Quiet,
    /// The same after the kernel told of a change of the underlay, so that all ways are asked for again.
    Asked,
    /// One node has another address.
    Moved,
    /// One node is gone.
    Gone,
}

impl Work {
    /// As it is called in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flannel => "all peers, in flannel's shape",
            Self::Cold => "all peers",
            Self::Quiet => "no change",
            Self::Asked => "no change, after an event of the underlay",
            Self::Moved => "one peer with 16 ranges has a new address",
            Self::Gone => "one peer with 16 ranges is gone",
        }
    }
}

/// One kind of work, as often as it was done.
#[derive(Debug, Clone)]
pub(crate) struct PeersRow {
    pub(crate) peers: u16,
    pub(crate) work: Work,
    /// Entries written each time.
    pub(crate) written: u64,
    /// Wall and processor time of each.
    pub(crate) times: Vec<(Duration, Duration)>,
}

impl PeersRow {
    fn new(peers: u16, work: Work) -> Self {
        Self {
            peers,
            work,
            written: 0,
            times: Vec::new(),
        }
    }

    fn add(&mut self, done: Done) {
        self.written = done.written;
        self.times.push((done.wall, done.cpu));
    }

    /// Wall time of the median.
    pub(crate) fn wall(&self) -> Duration {
        median(self.times.iter().map(|(wall, _)| *wall))
    }

    /// Processor time of the median.
    pub(crate) fn cpu(&self) -> Duration {
        median(self.times.iter().map(|(_, cpu)| *cpu))
    }
}

fn median(values: impl Iterator<Item = Duration>) -> Duration {
    let mut sorted: Vec<Duration> = values.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

/// What one piece of work took.
#[derive(Debug, Clone, Copy)]
struct Done {
    written: u64,
    wall: Duration,
    cpu: Duration,
}

/// Measures both sides in turns, and then an agent's memory.
pub(crate) fn measure(programs: &Programs, quick: bool, report: &mut Report) -> Result<()> {
    let rounds = if quick { 3 } else { 9 };
    for peers in PEERS {
        report.progress(&format!("{peers} peers behind the tunnel"));
        let ours = [
            Work::Cold,
            Work::Quiet,
            Work::Asked,
            Work::Moved,
            Work::Gone,
        ];
        let mut theirs = PeersRow::new(peers, Work::Flannel);
        let mut rows = ours.map(|work| PeersRow::new(peers, work));
        for _ in 0..rounds {
            theirs.add(flannel::program(peers)?);
            std::thread::sleep(FREED);
            let mut agent = ours::Programmed::new(peers)?;
            for row in &mut rows {
                row.add(agent.does(row.work)?);
            }
            drop(agent);
            std::thread::sleep(FREED);
        }
        report.peers(theirs);
        for row in rows {
            report.peers(row);
        }
    }
    let peers = PEERS[1];
    report.progress(&format!("memory of an agent with {peers} nodes"));
    report.memory(memory::measure(programs, peers)?);
    Ok(())
}

/// A node whose peers are all behind its gateway.
struct Node {
    ns: Namespace,
    _far: Namespace,
}

/// The node's own address.
const OWN: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

impl Node {
    fn new() -> Result<Self> {
        let (ns, far) = (Namespace::new("node")?, Namespace::new("gateway")?);
        ns.loopback_up()?;
        let (link, _) = connect(&ns, "eth0", &far, "eth0")?;
        let mut netlink = ns.netlink()?;
        let address = IpNetwork::new(OWN.into(), 24)?;
        netlink.add_address(&Address::new(link, address))?;
        let gateway = Ipv4Addr::new(198, 18, 0, 254).into();
        netlink.add_route(&Route::via("0.0.0.0/0".parse()?, gateway, Some(link)))?;
        Ok(Self { ns, _far: far })
    }
}

/// The address of a peer.
fn address(peer: u16) -> Ipv4Addr {
    let [high, low] = peer.to_be_bytes();
    Ipv4Addr::new(198, 19, high, low)
}

/// A peer's `n`th range.
fn range(peer: u16, n: u16) -> Result<IpNetwork> {
    let number = u32::from(peer) + u32::from(n) * 0x2000;
    let base = Ipv4Addr::from(0x0a00_0000 + (number << 7));
    let range = Ipv4Network::new(base, 25).context("a range")?;
    Ok(range.into())
}

fn first(range: IpNetwork) -> IpAddr {
    range.network()
}
