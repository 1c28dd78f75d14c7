//! Whether one namespace reaches another, without ping: a TCP and a UDP service that says who asks.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::socket::{setsockopt, sockopt::ReceiveTimeout};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::namespace::Namespace;
use crate::wait::{LIMIT, wait_until};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long nothing must come back until it is believed that nothing will.
const SILENCE: Duration = Duration::from_millis(300);

/// How long a server waits before it looks whether to stop, in milliseconds.
const TICK: u32 = 50;

/// Time for a second SYN, which follows after one second: a refusal that arrives while connect(2) still has the
/// socket, as it does where all nodes are on one machine, is not told (`tcp_v6_err`).
const REPEATED: Duration = Duration::from_secs(3);

/// What a client sends.
const QUESTION: &[u8] = b"who am I";

/// A running service; it stops when this is dropped.
#[derive(Debug)]
pub struct Echo {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Serves TCP and UDP on `port` of every address in `ns`, both families: the answer to anything is the
/// client's address, a line end, and what it sent.
pub fn serve_echo(ns: &Namespace, port: u16) -> Result<Echo> {
    let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let (tcp, udp) =
        ns.run(|| Ok::<_, std::io::Error>((TcpListener::bind(any)?, UdpSocket::bind(any)?)))??;
    let tick = TimeVal::milliseconds(i64::from(TICK));
    setsockopt(&tcp, ReceiveTimeout, &tick).context("set a timeout")?;
    setsockopt(&udp, ReceiveTimeout, &tick).context("set a timeout")?;
    let stop = Arc::new(AtomicBool::new(false));
    let (stop_tcp, stop_udp) = (Arc::clone(&stop), Arc::clone(&stop));
    let threads = vec![
        std::thread::spawn(move || serve_tcp(&tcp, &stop_tcp)),
        std::thread::spawn(move || serve_udp(&udp, &stop_udp)),
    ];
    Ok(Echo { stop, threads })
}

fn serve_tcp(listener: &TcpListener, stop: &Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        if let Ok((stream, peer)) = listener.accept() {
            let stop = Arc::clone(stop);
            std::thread::spawn(move || {
                let _ = converse(stream, peer, &stop);
            });
        }
    }
}

/// Answers one client until it or the service ends.
fn converse(mut stream: TcpStream, peer: SocketAddr, stop: &AtomicBool) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(TICK.into())))?;
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => stream.write_all(&answer(peer, &buffer[..length]))?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn serve_udp(socket: &UdpSocket, stop: &AtomicBool) {
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&answer(peer, &buffer[..length]), peer);
        }
    }
}

fn answer(peer: SocketAddr, question: &[u8]) -> Vec<u8> {
    let mut answer = format!("{}\n", peer.ip().to_canonical()).into_bytes();
    answer.extend_from_slice(question);
    answer
}

/// Connects by TCP and asks: the source address that the service saw.
fn ask(ns: &Namespace, to: SocketAddr, patience: Duration) -> Result<std::io::Result<IpAddr>> {
    ns.run(|| {
        let mut stream = TcpStream::connect_timeout(&to, patience)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(QUESTION)?;
        stream.shutdown(std::net::Shutdown::Write)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        source(&answer).ok_or_else(|| ErrorKind::InvalidData.into())
    })
}

/// Whether a TCP connection from `ns` to the service at `to` works within a second. That it does not may
/// be the machine's fault: see [`wait_tcp`] and [`wait_refused`].
pub fn can_reach(ns: &Namespace, to: SocketAddr) -> Result<bool> {
    Ok(ask(ns, to, PATIENCE)?.is_ok())
}

/// Waits until `ns` reaches the service at `to` by TCP, and tells the source address that it sees.
pub fn source_seen(ns: &Namespace, to: SocketAddr) -> Result<IpAddr> {
    let mut seen = None;
    wait_until(LIMIT, &format!("{to} is reached over TCP"), || {
        seen = ask(ns, to, PATIENCE)?.ok();
        Ok(seen.is_some())
    })?;
    seen.context("a service without a client")
}

/// Waits until the service at `to` can be reached from `ns` over TCP.
pub fn wait_tcp(ns: &Namespace, to: SocketAddr) -> Result<()> {
    source_seen(ns, to).map(drop)
}

/// Waits until the service at `to` can be reached from `ns` over TCP and UDP.
pub fn wait_reach(ns: &Namespace, to: SocketAddr) -> Result<()> {
    wait_tcp(ns, to)?;
    wait_until(LIMIT, &format!("{to} is reached over UDP"), || {
        can_reach_udp(ns, to)
    })
}

/// Waits until a connection from `ns` to `to` is refused: by whom it would lead to, or by a router that
/// knows no way.
pub fn wait_refused(ns: &Namespace, to: SocketAddr) -> Result<()> {
    wait_until(LIMIT, &format!("{to} is refused"), || {
        let refused = ask(ns, to, REPEATED)?.err().is_some_and(|error| {
            matches!(
                error.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
            )
        });
        Ok(refused)
    })
}

/// Waits until `ns` reaches nothing at `to`, over TCP and UDP: what it sends gets no answer at all.
pub fn wait_blocked(ns: &Namespace, to: SocketAddr) -> Result<()> {
    wait_until(LIMIT, &format!("nothing comes back from {to}"), || {
        let silent = |error: std::io::Error| {
            matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
        };
        let tcp = ask(ns, to, SILENCE)?;
        Ok(tcp.err().is_some_and(silent) && !answers(ns, to, SILENCE)?)
    })
}

/// Whether the service at `to` answers a UDP packet from `ns` within a second; lost ones are repeated.
pub fn can_reach_udp(ns: &Namespace, to: SocketAddr) -> Result<bool> {
    answers(ns, to, PATIENCE)
}

fn answers(ns: &Namespace, to: SocketAddr, patience: Duration) -> Result<bool> {
    let asked = ns.run(|| {
        let socket = udp_socket(to)?;
        socket.set_read_timeout(Some(patience / 5))?;
        let end = Instant::now() + patience;
        let mut buffer = [0; 256];
        while Instant::now() < end {
            // An unreachable destination is reported by an error that may be over a moment later.
            let _ = socket.send_to(QUESTION, to);
            if let Ok((length, _)) = socket.recv_from(&mut buffer) {
                return Ok(source(&String::from_utf8_lossy(&buffer[..length])).is_some());
            }
        }
        Ok::<_, std::io::Error>(false)
    })?;
    Ok(asked?)
}

/// A UDP socket of the family of `to`, on any port.
pub(crate) fn udp_socket(to: SocketAddr) -> std::io::Result<UdpSocket> {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => [0; 4].into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
}

/// The address in an answer, when it is one to our question.
fn source(answer: &str) -> Option<IpAddr> {
    let (ip, question) = answer.split_once('\n')?;
    (question.as_bytes() == QUESTION).then(|| ip.parse().ok())?
}
