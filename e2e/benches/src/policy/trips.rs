//! One byte there and one back, on one connection or on a new one each time.
//!
//! Both ends run on one processor in real-time scheduling, in turns, so that what is measured is what the
//! kernel does with the packets, and neither an idle processor nor somebody else's work.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fairlead_e2e_lab::Namespace;
use nix::libc::linger;
use nix::sys::socket::{Shutdown, setsockopt, shutdown, sockopt};
use nix::unistd::gettid;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is done again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trip {
    /// A byte there and back.
    Byte,
    /// A connection, a byte there and back, and its end by a reset.
    Connection,
}

impl Trip {
    pub(crate) const BOTH: [Self; 2] = [Self::Byte, Self::Connection];
}

/// One burst of trips.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Burst {
    pub(crate) p50: Duration,
    pub(crate) per_second: f64,
}

/// A server in a pod, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on `port`.
    pub(crate) fn start(pod: &Namespace, port: u16) -> Result<Self> {
        let listener = pod.run(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)))??;
        let accepts = listener.try_clone()?;
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            let ready = real_time();
            let _ = tell.send(ready);
            for stream in accepts.incoming() {
                match stream {
                    // A client that resets is a client that has done its trip.
                    Ok(stream) => drop(serve(stream)),
                    Err(error) if error.kind() == ErrorKind::InvalidInput => return,
                    Err(_) => {}
                }
            }
        });
        told.recv()??;
        Ok(Self {
            listener,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // accept(2) of a socket that was shut down is EINVAL.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

/// Makes trips from a pod for `time`.
pub(crate) fn burst(pod: &Namespace, to: SocketAddr, trip: Trip, time: Duration) -> Result<Burst> {
    pod.run(|| {
        real_time()?;
        let mut kept = match trip {
            Trip::Byte => Some(connect(to)?),
            Trip::Connection => None,
        };
        let mut times = Vec::with_capacity(1 << 16);
        let start = Instant::now();
        while start.elapsed() < time {
            let begin = Instant::now();
            if let Some(stream) = &mut kept {
                there_and_back(stream)?;
            } else {
                let mut stream = connect(to)?;
                there_and_back(&mut stream)?;
                reset(stream)?;
            }
            times.push(begin.elapsed());
        }
        let wall = start.elapsed();
        ensure!(!times.is_empty(), "no trip to {to}");
        let per_second = f64::from(u32::try_from(times.len())?) / wall.as_secs_f64();
        let middle = times.len() / 2;
        let (_, p50, _) = times.select_nth_unstable(middle);
        Ok(Burst {
            p50: *p50,
            per_second,
        })
    })?
}

/// Whether the server at `to` answers.
pub(crate) fn answers(pod: &Namespace, to: SocketAddr) -> Result<bool> {
    let trip = || there_and_back(&mut connect(to)?);
    Ok(pod.run(trip)?.is_ok())
}

fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&to, PATIENCE).with_context(|| format!("connect to {to}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn there_and_back(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(&[1])?;
    stream.read_exact(&mut [0]).context("no answer")
}

/// Ends a connection so that nothing of it is left to wait for.
fn reset(stream: TcpStream) -> Result<()> {
    let now = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&stream, sockopt::Linger, &now)?;
    drop(stream);
    Ok(())
}

/// Puts this thread on the last processor, in turns with the others there, before everything else.
pub(super) fn real_time() -> Result<()> {
    let thread = gettid().to_string();
    let last = std::thread::available_parallelism()?.get() - 1;
    let tell = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{program} {}: {error}",
            args.join(" ")
        );
        Ok(())
    };
    tell("taskset", &["-pc", &last.to_string(), &thread])?;
    tell("chrt", &["--rr", "--pid", "1", &thread])
}
