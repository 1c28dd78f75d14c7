//! Machines, as their callers see them.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::BufReader;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::boot::{self, Kind};
use crate::connection;
use crate::job::{Command, Event, Job, Output};
use crate::line::Line;
use crate::place::Parts;
use crate::scratch::Scratch;
use crate::supervisor;
use crate::wire::{Message, VERSION};

const CONSOLE_TAIL: usize = 3000;

/// What a machine is to be.
#[derive(Clone, Debug)]
pub struct Builder {
    kind: Kind,
    disks: Vec<PathBuf>,
    memory: String,
    boot_timeout: Duration,
}

impl Builder {
    /// One more disk: see [`Vm::disk`] for its name.
    #[must_use]
    pub fn disk(mut self, path: impl AsRef<Path>) -> Self {
        self.disks.push(path.as_ref().to_owned());
        self
    }

    /// Its memory, such as `512M`, the default. It takes what is used, not more.
    #[must_use]
    pub fn memory(mut self, size: &str) -> Self {
        size.clone_into(&mut self.memory);
        self
    }

    /// How long it may take until it runs commands [default: two minutes, of [`Vm::host`] ten, for busy hosts].
    #[must_use]
    pub fn boot_timeout(mut self, timeout: Duration) -> Self {
        self.boot_timeout = timeout;
        self
    }

    /// Boots it, and waits until it takes commands.
    pub fn boot(self) -> Result<Vm> {
        let parts = Parts::find(self.kind)?;
        let scratch = Scratch::new()?;
        fs::create_dir(scratch.path().join(boot::EXCHANGE))?;
        let console = OpenOptions::new()
            .create(true)
            .append(true)
            .open(scratch.path().join(boot::CONSOLE))?;
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = std::process::Command::new(&parts.program);
        command
            .arg(supervisor::MACHINE)
            .arg("--")
            .args(boot::command(
                self.kind,
                &parts,
                scratch.path(),
                &self.memory,
                &self.disks,
            )?);
        command
            .env("TMPDIR", "/dev/shm")
            .env("HOME", scratch.path())
            .process_group(0);
        command
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(console.try_clone()?)
            .stderr(console);
        let child = command
            .spawn()
            .with_context(|| format!("starting {}", parts.program.display()))?;
        // The command holds a copy of their end of the line.
        drop(command);
        let vm = Vm {
            kind: self.kind,
            scratch,
            child: Mutex::new(child),
            line: Arc::new(Line::new(ours)),
            jobs: Arc::default(),
            next: AtomicU32::new(1),
        };
        vm.listen(self.boot_timeout)?;
        Ok(vm)
    }
}

type Jobs = Arc<Mutex<HashMap<u32, Sender<Event>>>>;

/// A machine that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Vm {
    kind: Kind,
    scratch: Scratch,
    child: Mutex<Child>,
    line: Arc<Line>,
    jobs: Jobs,
    next: AtomicU32,
}

impl Vm {
    /// A machine with 512 MB and no disk: user-mode-linux.
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            kind: Kind::Uml,
            disks: Vec::new(),
            memory: "512M".to_owned(),
            boot_timeout: Duration::from_mins(2),
        }
    }

    /// A host as Debian makes it, with 1 GB and no disk: its kernel in qemu, udev, dmeventd, LVM's own configuration.
    #[must_use]
    pub fn host() -> Builder {
        Builder {
            kind: Kind::Host,
            disks: Vec::new(),
            memory: "1G".to_owned(),
            boot_timeout: Duration::from_mins(10),
        }
    }

    /// The name of a disk in it: /dev/ubda or, of a host, /dev/vda for the first, with the number 0.
    #[must_use]
    pub fn disk(&self, number: u8) -> String {
        boot::disk(self.kind, number)
    }

    /// Runs a bash script and waits for it. A command that fails ends the script.
    pub fn run(&self, script: &str) -> Result<Output> {
        self.output(&Command::script(script))
    }

    /// Runs a command and waits for it.
    pub fn output(&self, command: &Command) -> Result<Output> {
        self.start(command)?.wait()
    }

    /// Starts a command.
    pub fn start(&self, command: &Command) -> Result<Job<'_>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel();
        self.jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, sender);
        self.send(&Message::Start(number, command.start.clone()))?;
        Ok(Job::new(self, number, command, events))
    }

    /// Connects to a unix socket in the guest. The stream ends when either side closes it, or the machine is gone.
    pub fn connect(&self, path: &str) -> Result<UnixStream> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, events) = mpsc::channel();
        self.jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number, sender);
        self.send(&Message::Connect(number, path.to_owned()))?;
        match events.recv() {
            Ok(Event::Connected) => {}
            Ok(Event::Failed(why)) => bail!("in the machine: {why}"),
            _ => bail!(
                "the machine is gone; end of the console: {}",
                self.console()
            ),
        }
        let (caller, ours) = UnixStream::pair()?;
        let line = Arc::clone(&self.line);
        connection::carry(ours, events, move |bytes| {
            line.send(&Message::Data(number, bytes))
        })?;
        Ok(caller)
    }

    /// The folder on this machine that is /xchg in the guest.
    #[must_use]
    pub fn exchange(&self) -> PathBuf {
        self.scratch.path().join(boot::EXCHANGE)
    }

    /// The end of what the kernel said.
    #[must_use]
    pub fn console(&self) -> String {
        let all = fs::read(self.scratch.path().join(boot::CONSOLE)).unwrap_or_default();
        String::from_utf8_lossy(&all[all.len().saturating_sub(CONSOLE_TAIL)..]).into_owned()
    }

    /// Ends it as a power failure would, but for the disks' own caches: what the guest wrote to a disk is there, what
    /// it kept in memory is lost. All its processes are gone when this returns.
    pub fn kill(self) -> Result<()> {
        self.end()
    }

    /// Ends it in good order: file systems are synced, not unmounted.
    pub fn power_off(self) -> Result<()> {
        self.send(&Message::PowerOff)?;
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!(
                    "the machine does not power off; end of the console: {}",
                    self.console()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(crate) fn send(&self, message: &Message) -> Result<()> {
        self.line.send(message).with_context(|| {
            format!(
                "the machine is gone; end of the console: {}",
                self.console()
            )
        })
    }

    /// Waits for the agent and starts to hand out what it says.
    fn listen(&self, timeout: Duration) -> Result<()> {
        let line = self.line.reader()?;
        line.set_read_timeout(Some(timeout))?;
        let mut from = BufReader::new(line);
        match Message::read(&mut from) {
            Ok(Message::Ready(VERSION)) => {}
            Ok(_) => bail!(
                "the fairlead-vm that is built is another version: run `cargo build -p fairlead-e2e-vm`"
            ),
            Err(error) => {
                bail!(
                    "the machine does not come up within {timeout:?} ({error}); end of the console: {}",
                    self.console()
                )
            }
        }
        from.get_ref().set_read_timeout(None)?;
        let (jobs, line) = (Arc::clone(&self.jobs), Arc::clone(&self.line));
        std::thread::spawn(move || {
            while let Ok(message) = Message::read(&mut from) {
                match message {
                    Message::Read(count) => line.read(count),
                    other => deliver(&jobs, other),
                }
            }
            // Whoever waits for a job, or for room, hears that the machine is gone.
            line.close();
            jobs.lock().unwrap_or_else(PoisonError::into_inner).clear();
        });
        Ok(())
    }

    fn end(&self) -> Result<()> {
        self.line.close();
        self.child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .wait()?;
        Ok(())
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn deliver(jobs: &Jobs, message: Message) {
    let (job, event, last) = match message {
        Message::Output(job, stream, bytes) => (job, Event::Output(stream, bytes), false),
        Message::Exit(job, code) => (job, Event::Exit(code), true),
        Message::Failed(job, why) => (job, Event::Failed(why), true),
        Message::Connected(job) => (job, Event::Connected, false),
        Message::Data(job, bytes) => {
            let last = bytes.is_empty();
            (job, Event::Data(bytes), last)
        }
        _ => return,
    };
    let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = jobs.get(&job) {
        // Nobody listens to a job that timed out.
        let _ = sender.send(event);
    }
    if last {
        jobs.remove(&job);
    }
}
