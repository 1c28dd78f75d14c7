//! A steady flow of small UDP packets, and how many of them arrive by the kernel's count.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::count::counted;
use crate::namespace::Namespace;
use crate::wait::wait_until;

/// Packets a second.
pub const RATE: u32 = 10_000;

/// Packets are sent by so many at once: one each 100 µs would be more wake-ups than packets.
const BUNDLE: u32 = 10;

/// Bytes of a packet.
const SIZE: usize = 64;

/// How long packets may still be on their way when the last one has been sent.
const LINGER: Duration = Duration::from_secs(1);

/// Packets from one namespace to another, [`RATE`] a second, until it is finished or dropped. A sender
/// that the machine holds up leaves packets out, so that no queue is overrun by making up for them.
#[derive(Debug)]
pub struct Flow<'a> {
    to: &'a Namespace,
    table: String,
    sender: Sender,
    /// Nobody reads it: the kernel counts before it drops what does not fit.
    _receiver: UdpSocket,
}

#[derive(Debug)]
struct Sender {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

/// What became of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Packets that the sender tried to send.
    pub sent: u64,
    /// Packets that reached the receiver's address, counted by nftables there.
    pub arrived: u64,
}

impl Passed {
    /// Packets that did not arrive.
    #[must_use]
    pub fn lost(self) -> u64 {
        self.sent.saturating_sub(self.arrived)
    }

    /// For how long nothing would have arrived if all losses were in one piece.
    #[must_use]
    pub fn gap(self) -> Duration {
        Duration::from_micros(self.lost() * 1_000_000 / u64::from(RATE))
    }
}

impl<'a> Flow<'a> {
    /// Sends from `from` to port `port` of `ip`, an address of `to`.
    pub fn start(from: &Namespace, to: &'a Namespace, ip: IpAddr, port: u16) -> Result<Self> {
        let table = format!("lab-flow-{port}");
        let script = format!(
            "create table inet {table}; \
             add chain inet {table} input {{ type filter hook input priority 0; }}; \
             add rule inet {table} input udp dport {port} counter"
        );
        to.output("nft", &[&script])
            .context("count the packets of a flow")?;
        let receiver = to.run(|| UdpSocket::bind((any(ip), port)))??;
        let socket = from.run(|| UdpSocket::bind((any(ip), 0)))??;
        let (stop, sent) = (Arc::default(), Arc::default());
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = std::thread::spawn(move || send(&socket, (ip, port).into(), &stopped, &count));
        let thread = Some(thread);
        let sender = Sender { stop, sent, thread };
        Ok(Self {
            to,
            table,
            sender,
            _receiver: receiver,
        })
    }

    /// How many packets have been sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sender.sent.load(Ordering::Relaxed)
    }

    /// How many packets have arrived.
    pub fn arrived(&self) -> Result<u64> {
        counted(self.to, &self.table)
    }

    /// Waits until `more` packets have arrived from now on.
    pub fn wait_arrived(&self, more: u64, limit: Duration) -> Result<()> {
        let end = self.arrived()? + more;
        wait_until(limit, "packets arrive", || Ok(self.arrived()? >= end))
    }

    /// Ends it, and waits for packets that are on their way.
    pub fn finish(mut self) -> Result<Passed> {
        self.sender.end();
        let sent = self.sent();
        let end = Instant::now() + LINGER;
        wait_until(LINGER * 2, "packets arrive or are lost", || {
            Ok(self.arrived()? >= sent || Instant::now() >= end)
        })?;
        let arrived = self.arrived()?;
        Ok(Passed { sent, arrived })
    }
}

impl Drop for Flow<'_> {
    fn drop(&mut self) {
        self.sender.end();
        let _ = self
            .to
            .output("nft", &["delete", "table", "inet", &self.table]);
    }
}

impl Sender {
    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The address to bind to for the family of `ip`.
fn any(ip: IpAddr) -> IpAddr {
    if ip.is_ipv4() {
        [0; 4].into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}

fn send(socket: &UdpSocket, to: SocketAddr, stop: &AtomicBool, sent: &AtomicU64) {
    let pause = Duration::from_secs(1) * BUNDLE / RATE;
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..BUNDLE {
            sent.fetch_add(1, Ordering::Relaxed);
            // What cannot be sent does not arrive, and is counted so.
            let _ = socket.send_to(&[0; SIZE], to);
        }
        due = Instant::now().max(due + pause);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
