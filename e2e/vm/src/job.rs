//! Commands in a machine.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;

use crate::machine::Vm;
use crate::wire::{Message, Start, Stream};

/// A command that is to run in a machine, as root.
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) start: Start,
    pub(crate) timeout: Duration,
}

impl Command {
    /// A program, by its path or by its name in /usr/sbin, /usr/bin.
    pub fn new(program: impl Into<String>) -> Self {
        let start = Start {
            folder: "/".to_owned(),
            words: vec![program.into()],
            environment: Vec::new(),
        };
        Self {
            start,
            timeout: Duration::from_mins(5),
        }
    }

    /// A script for bash, which ends at the first command that fails.
    #[must_use]
    pub fn script(script: impl Into<String>) -> Self {
        Self::new("bash")
            .args(["-euo", "pipefail", "-c"])
            .arg(script)
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.start.words.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.start
            .words
            .extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment, which else is the guest's, not the caller's.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.start.environment.push(format!("{name}={value}"));
        self
    }

    /// Its folder [default: /].
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.start.folder = folder.into().to_string_lossy().into_owned();
        self
    }

    /// After this time the command is killed and the wait for it ends with an error [default: 5 minutes].
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// What a command left.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its exit code, or 128 + the signal that ended it.
    pub code: u8,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    command: String,
}

impl Output {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Standard output as text, or an error with everything if the command failed.
    pub fn success(&self) -> Result<String> {
        if self.code != 0 {
            let (command, code, text, errors) =
                (&self.command, self.code, self.text(), self.errors());
            bail!(
                "in the machine, this ended with {code}: {command}\nstandard output: {text}\nstandard error: {errors}"
            );
        }
        Ok(self.text())
    }
}

/// What a command says while it runs, or a connection.
#[derive(Debug)]
pub(crate) enum Event {
    Connected,
    Data(Vec<u8>),
    Output(Stream, Vec<u8>),
    Exit(u8),
    Failed(String),
}

/// A command that runs.
#[derive(Debug)]
pub struct Job<'vm> {
    pub(crate) vm: &'vm Vm,
    pub(crate) number: u32,
    pub(crate) events: Receiver<Event>,
    pub(crate) deadline: Instant,
    pub(crate) output: Output,
}

impl<'vm> Job<'vm> {
    pub(crate) fn new(
        vm: &'vm Vm,
        number: u32,
        command: &Command,
        events: Receiver<Event>,
    ) -> Self {
        let output = Output {
            code: 0,
            stdout: Vec::new(),
            stderr: Vec::new(),
            command: command.start.words.join(" "),
        };
        Self {
            vm,
            number,
            events,
            deadline: Instant::now() + command.timeout,
            output,
        }
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Output> {
        while !self.step(self.deadline, &mut |_, _| {})? {}
        Ok(self.output)
    }

    /// Waits for its end; `sink` sees the output as it comes, the flag says whether it is standard error.
    pub fn stream(mut self, mut sink: impl FnMut(bool, &[u8])) -> Result<Output> {
        while !self.step(self.deadline, &mut |stream, bytes| {
            sink(stream == Stream::Err, bytes);
        })? {}
        Ok(self.output)
    }

    /// Waits until its standard output contains a text; an error if the job ends before.
    pub fn wait_for(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !self.output.text().contains(text) {
            if self.step(deadline, &mut |_, _| {})? {
                let so_far = self.output.clone();
                bail!(
                    "the job ended with {} before it said {text:?}\n{}{}",
                    so_far.code,
                    so_far.text(),
                    so_far.errors()
                );
            }
        }
        Ok(())
    }

    /// Sends a signal to its process group.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.vm.send(&Message::Signal(self.number, signal as i32))
    }

    /// Takes one event; true if it was the last.
    fn step(&mut self, deadline: Instant, sink: &mut dyn FnMut(Stream, &[u8])) -> Result<bool> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(Event::Output(stream, bytes)) => {
                sink(stream, &bytes);
                match stream {
                    Stream::Out => self.output.stdout.extend(bytes),
                    Stream::Err => self.output.stderr.extend(bytes),
                }
                Ok(false)
            }
            Ok(Event::Exit(code)) => {
                self.output.code = code;
                Ok(true)
            }
            Ok(Event::Connected | Event::Data(_)) => {
                bail!("the machine takes a job for a connection")
            }
            Ok(Event::Failed(why)) => bail!("in the machine: {why}"),
            Err(RecvTimeoutError::Timeout) => {
                let _ = self.signal(Signal::SIGKILL);
                bail!(
                    "in the machine, this did not end in time: {}\n{}",
                    self.output.command,
                    self.so_far()
                )
            }
            Err(RecvTimeoutError::Disconnected) => {
                bail!(
                    "the machine is gone; it was running: {}\n{}",
                    self.output.command,
                    self.so_far()
                )
            }
        }
    }

    fn so_far(&self) -> String {
        let (text, errors, console) = (self.output.text(), self.output.errors(), self.vm.console());
        format!("standard output: {text}\nstandard error: {errors}\nend of the console: {console}")
    }
}
