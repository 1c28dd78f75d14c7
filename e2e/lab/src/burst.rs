//! A sender that sends from the first instant at which its namespace can.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::echo::udp_socket;
use crate::namespace::Namespace;

/// How long between two rounds once the pod is said to be there.
const PAUSE: Duration = Duration::from_micros(200);

/// A datagram: who sends, and its number.
const LENGTH: usize = 8;

/// Sends numbered datagrams to all of its targets, as fast as it can, until it is told that the pod is there; then a
/// few more.
#[derive(Debug)]
pub struct Burst {
    there: Arc<AtomicBool>,
    sent: Arc<AtomicU32>,
    thread: Option<JoinHandle<u32>>,
}

/// Which datagrams were sent when.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// The first number of those that were certainly sent after the pod was there.
    pub from: u32,
    /// The number after the last.
    pub to: u32,
}

impl Burst {
    /// Begins to send from `ns` under the number `sender` to `targets`, of one family.
    pub fn start(ns: &Namespace, sender: u32, targets: Vec<SocketAddr>, more: u32) -> Result<Self> {
        let first = *targets.first().context("no targets")?;
        let socket = ns.run(|| udp_socket(first))??;
        let (there, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let (told, count) = (Arc::clone(&there), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            let mut left = more;
            while left > 0 {
                if told.load(Ordering::SeqCst) {
                    left -= 1;
                    std::thread::sleep(PAUSE);
                }
                number = count.fetch_add(1, Ordering::SeqCst);
                let datagram = encode(sender, number);
                for target in &targets {
                    // Until there is a link with a route, nothing can be sent.
                    let _ = socket.send_to(&datagram, target);
                }
            }
            number + 1
        });
        Ok(Self {
            there,
            sent,
            thread: Some(thread),
        })
    }

    /// Says that the pod is there, and waits for the last datagram.
    pub fn finish(mut self) -> Result<Sent> {
        // What has this number may be on its way already.
        let from = self.sent.load(Ordering::SeqCst) + 1;
        self.there.store(true, Ordering::SeqCst);
        let thread = self.thread.take().context("finished")?;
        let to = thread.join().ok().context("the sender panicked")?;
        Ok(Sent { from, to })
    }
}

impl Drop for Burst {
    fn drop(&mut self) {
        self.there.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where bursts arrive.
#[derive(Debug)]
pub struct Catch(UdpSocket);

impl Catch {
    /// Listens in `ns` on a port of `ip`, with room for many datagrams.
    pub fn new(ns: &Namespace, ip: IpAddr, port: u16) -> Result<Self> {
        use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};
        let socket = ns.run(|| UdpSocket::bind((ip, port)))??;
        // Without the right to more, what is lost here is told as lost.
        let _ = setsockopt(&socket, RcvBufForce, &(64 << 20));
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Sender and number of each datagram that has arrived.
    #[must_use]
    pub fn take(&self) -> Vec<(u32, u32)> {
        let mut all = Vec::new();
        let mut datagram = [0; 64];
        while let Ok((length, _)) = self.0.recv_from(&mut datagram) {
            all.extend(decode(&datagram[..length]));
        }
        all
    }

    /// Takes until `enough` says so of all that has been taken, or for `limit`.
    #[must_use]
    pub fn take_until(
        &self,
        limit: Duration,
        enough: impl Fn(&[(u32, u32)]) -> bool,
    ) -> Vec<(u32, u32)> {
        let end = Instant::now() + limit;
        let mut all = self.take();
        while !enough(&all) && Instant::now() < end {
            std::thread::sleep(PAUSE);
            all.extend(self.take());
        }
        all
    }
}

fn encode(sender: u32, number: u32) -> [u8; LENGTH] {
    let mut datagram = [0; LENGTH];
    datagram[..4].copy_from_slice(&sender.to_be_bytes());
    datagram[4..].copy_from_slice(&number.to_be_bytes());
    datagram
}

fn decode(datagram: &[u8]) -> Option<(u32, u32)> {
    let word = |at: usize| {
        Some(u32::from_be_bytes(
            datagram.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    Some((word(0)?, word(4)?))
}
