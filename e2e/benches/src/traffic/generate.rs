//! Traffic between the pods of a way, made and taken in by threads of this process, and what it costs.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use nix::sys::resource::{UsageWho, getrusage};

use super::Stream;
use super::way::Way;

/// Bytes of one write and read.
const PIECE: usize = 128 << 10;

/// Bytes of a datagram.
const SMALL: usize = 64;

/// How long an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// Sends one TCP stream for `time`.
pub(super) fn stream(way: &Way, time: Duration) -> Result<Stream> {
    let listener = way.pods[1].run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    let to = SocketAddr::new(way.to, listener.local_addr()?.port());
    let mut sender = way.pods[0].run(|| TcpStream::connect(to))??;
    let (mut receiver, _) = listener.accept()?;
    let (start, before) = (Instant::now(), cpu()?);
    let bytes = std::thread::scope(|scope| {
        let taken = scope.spawn(move || -> Result<u64> {
            let (mut buffer, mut bytes) = (vec![0; PIECE], 0);
            loop {
                match receiver.read(&mut buffer)? {
                    0 => return Ok(bytes),
                    length => bytes += u64::try_from(length)?,
                }
            }
        });
        let piece = vec![0; PIECE];
        while start.elapsed() < time {
            sender.write_all(&piece)?;
        }
        drop(sender);
        taken.join().map_err(|_| anyhow!("the receiver panicked"))?
    })?;
    Ok(Stream {
        bytes,
        wall: start.elapsed(),
        cpu: cpu()?.saturating_sub(before),
    })
}

/// Sends `count` small datagrams one after the other, each when the one before has been answered.
pub(super) fn round_trips(way: &Way, count: u32) -> Result<Vec<Duration>> {
    let server = way.pods[1].run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    let client = way.pods[0].run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)))??;
    client.connect(SocketAddr::new(way.to, server.local_addr()?.port()))?;
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(PATIENCE))?;
    }
    let stop = AtomicBool::new(false);
    let trips = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; SMALL];
            while !stop.load(Ordering::Relaxed) {
                if let Ok((length, from)) = server.recv_from(&mut buffer) {
                    let _ = server.send_to(&buffer[..length], from);
                }
            }
        });
        let mut buffer = [0; SMALL];
        let mut trips = Vec::new();
        let mut trip = || -> std::io::Result<Duration> {
            let start = Instant::now();
            client.send(&[0; SMALL])?;
            client.recv(&mut buffer)?;
            Ok(start.elapsed())
        };
        for _ in 0..count {
            trips.extend(trip());
        }
        stop.store(true, Ordering::Relaxed);
        trips
    });
    ensure!(trips.len() * 2 > count as usize, "most answers were lost");
    Ok(trips)
}

/// Processor time of this process and of the kernel's threads that take over when packets come too fast.
fn cpu() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = [usage.user_time(), usage.system_time()]
        .map(|time| time.tv_sec() * 1_000_000 + time.tv_usec());
    let own = Duration::from_micros(u64::try_from(micros.iter().sum::<i64>())?);
    Ok(own + softirq_threads())
}

fn softirq_threads() -> Duration {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let times = processes.filter_map(|process| {
        let path = process.path();
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        if !name.starts_with("ksoftirqd/") {
            return None;
        }
        // The time that it ran, in nanoseconds, comes first (proc(5)).
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}
