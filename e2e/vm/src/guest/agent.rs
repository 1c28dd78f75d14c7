//! The guest's agent: runs what the caller asks for over the serial line.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
use nix::unistd::Pid;

use crate::wire::{Message, Start, Stream, VERSION};

/// Hidden subcommand: the agent.
pub(crate) const AGENT: &str = "agent";

/// Programs in Go crash in user-mode-linux with signals for preemption.
const ENVIRONMENT: [(&str, &str); 7] = [
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
    ("HOME", "/root"),
    ("LC_ALL", "C.UTF-8"),
    ("LVM_SUPPRESS_FD_WARNINGS", "1"),
    ("GODEBUG", "asyncpreemptoff=1"),
    ("GOMAXPROCS", "1"),
    ("FAIRLEAD_IN_VM", "1"),
];

type Line = Arc<Mutex<File>>;
type Jobs = Arc<Mutex<HashMap<u32, Pid>>>;
type Connections = HashMap<u32, Sender<Vec<u8>>>;

/// Serves the line until the caller asks to power off.
pub(crate) fn run(line: &Path) -> Result<()> {
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(line)
        .with_context(|| line.display().to_string())?;
    // A port of qemu is no terminal.
    if let Ok(mut settings) = tcgetattr(&terminal) {
        cfmakeraw(&mut settings);
        tcsetattr(&terminal, SetArg::TCSANOW, &settings)?;
    }
    let line: Line = Arc::new(Mutex::new(terminal.try_clone()?));
    let mut from = BufReader::new(Acknowledged {
        terminal,
        line: Arc::clone(&line),
    });
    let jobs: Jobs = Arc::default();
    let mut connections = Connections::new();
    loopback();
    say(&line, &Message::Ready(VERSION))?;
    loop {
        match Message::read(&mut from)? {
            Message::Start(job, start) => {
                if let Err(error) = begin(&line, &jobs, job, &start) {
                    say(&line, &Message::Failed(job, format!("{error:#}")))?;
                }
            }
            Message::Signal(job, signal) => {
                let group = jobs
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get(&job)
                    .copied();
                if let (Some(group), Ok(signal)) = (group, Signal::try_from(signal)) {
                    let _ = killpg(group, signal);
                }
            }
            Message::Connect(job, path) => match connect(&line, job, &path) {
                Ok(sender) => {
                    connections.insert(job, sender);
                }
                Err(error) => say(&line, &Message::Failed(job, format!("{error:#}")))?,
            },
            Message::Data(job, bytes) if bytes.is_empty() => {
                connections.remove(&job);
            }
            Message::Data(job, bytes) => {
                // It fails when the socket's other end hung up, of which the caller hears by itself.
                let _ = connections.get(&job).map(|sender| sender.send(bytes));
            }
            Message::PowerOff => return Ok(()),
            _ => {}
        }
    }
}

/// Tells the caller how much was read.
struct Acknowledged {
    terminal: File,
    line: Line,
}

impl Read for Acknowledged {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.terminal.read(buffer)?;
        say(
            &self.line,
            &Message::Read(u32::try_from(count).unwrap_or(u32::MAX)),
        )
        .map_err(io::Error::other)?;
        Ok(count)
    }
}

/// Nothing waits for it: programs that listen on 127.0.0.1 can do so before.
fn loopback() {
    let _ = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .envs(ENVIRONMENT)
        .spawn();
}

fn say(line: &Line, message: &Message) -> Result<()> {
    let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
    message.write(&mut *line).context("the serial line")
}

fn begin(line: &Line, jobs: &Jobs, job: u32, start: &Start) -> Result<()> {
    let (program, arguments) = start.words.split_first().context("no command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(&start.folder)
        .process_group(0)
        .env_clear()
        .envs(ENVIRONMENT);
    command.envs(
        start
            .environment
            .iter()
            .filter_map(|pair| pair.split_once('=')),
    );
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("{program} cannot be started in {}", start.folder))?;
    jobs.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(job, Pid::from_raw(child.id().cast_signed()));
    let over = Arc::new(AtomicBool::new(false));
    let pumps = [
        child
            .stdout
            .take()
            .map(|from| pump(line, job, Stream::Out, from.into(), &over)),
        child
            .stderr
            .take()
            .map(|from| pump(line, job, Stream::Err, from.into(), &over)),
    ];
    let (line, jobs) = (Arc::clone(line), Arc::clone(jobs));
    std::thread::spawn(move || {
        let code = end(&mut child, &over);
        jobs.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&job);
        for said in pumps.into_iter().flatten() {
            let _ = said.recv();
        }
        let _ = say(&line, &Message::Exit(job, code));
    });
    Ok(())
}

/// Connects to a socket of the guest; what is sent to the sender goes there, its end closes that direction.
fn connect(line: &Line, number: u32, path: &str) -> Result<Sender<Vec<u8>>> {
    let mut socket = UnixStream::connect(path).with_context(|| format!("connecting to {path}"))?;
    let mut back = socket.try_clone()?;
    say(line, &Message::Connected(number))?;
    let (sender, bytes) = mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        while let Ok(bytes) = bytes.recv() {
            if socket.write_all(&bytes).is_err() {
                return;
            }
        }
        let _ = socket.shutdown(Shutdown::Write);
    });
    let line = Arc::clone(line);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let count = back.read(&mut buffer).unwrap_or(0);
            let _ = say(&line, &Message::Data(number, buffer[..count].to_vec()));
            if count == 0 {
                return;
            }
        }
    });
    Ok(sender)
}

fn end(child: &mut Child, over: &AtomicBool) -> u8 {
    let status = child.wait().unwrap_or(ExitStatus::from_raw(255 << 8));
    over.store(true, Ordering::SeqCst);
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255)
}

/// Sends an output on. The receiver hears of it (by disconnection) when all that the job wrote is sent: at its end,
/// or, where a process that it left behind holds the pipe, when the job is over and the pipe empty. What comes later
/// is read, so that nobody gets stuck, and dropped.
fn pump(
    line: &Line,
    job: u32,
    stream: Stream,
    from: OwnedFd,
    over: &Arc<AtomicBool>,
) -> mpsc::Receiver<()> {
    let (sent, said) = mpsc::channel();
    let (line, over) = (Arc::clone(line), Arc::clone(over));
    std::thread::spawn(move || {
        let mut from = File::from(from);
        let mut sent = Some(sent);
        let mut buffer = vec![0; 32 * 1024];
        loop {
            let was_over = over.load(Ordering::SeqCst);
            let timeout = if sent.is_some() {
                PollTimeout::from(50u8)
            } else {
                PollTimeout::NONE
            };
            match poll(&mut [PollFd::new(from.as_fd(), PollFlags::POLLIN)], timeout) {
                Ok(0) if was_over => drop(sent.take()),
                Ok(0) => {}
                _ => match from.read(&mut buffer) {
                    Ok(0) | Err(_) => return,
                    Ok(count) if sent.is_some() => {
                        let _ = say(
                            &line,
                            &Message::Output(job, stream, buffer[..count].to_vec()),
                        );
                    }
                    Ok(_) => {}
                },
            }
        }
    });
    said
}
