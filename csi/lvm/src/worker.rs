//! The process that has LVM's library loaded and runs its commands; and what is said to it.
//!
//! A request is a line of words, or snapshots to take together; an answer LVM's code and words: JSON behind its length. The process serves its
//! standard input, a socket, until the other end is closed, and finishes the command that it is at. Signals that
//! ask for an end are not for it: it ends when its driver does.

mod library;
mod protocol;
mod together;

use std::env;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command as Process, ExitCode, Stdio};

use nix::sys::signal::{SigSet, Signal};

use crate::argv::line;
use library::Library;
pub(crate) use protocol::{Answer, Request, receive, send};

/// Words that LVM's library takes at most, with some to spare.
const MOST_WORDS: usize = 60;
/// Longest of LVM's words that are passed on.
const LONGEST: usize = 8 << 10;
/// Where the program is looked for.
pub(crate) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Says that the library is to be left alone: for measurements, and where it makes trouble.
pub(crate) const NO_LIBRARY: &str = "FAIRLEAD_LVM_EXEC";

/// Serves commands on standard input, a socket, until its other end is closed.
#[must_use]
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the worker ends");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals.thread_block()?;
    let mut socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // LVM must not read requests where it looks for answers to its questions.
    nix::unistd::dup2_stdin(fs::File::open("/dev/null")?)?;
    let library = match env::var_os(NO_LIBRARY) {
        Some(_) => None,
        None => Library::load(),
    };
    while let Some(request) = receive::<Request>(&mut socket)? {
        let mut answer = match request {
            Request::Run(words) => run(library.as_ref(), &words),
            Request::Flush(devices) => flush(&devices),
            Request::Together { vg, snapshots } => {
                let ready = Answer {
                    done: true,
                    ..Answer::default()
                };
                together::run(&vg, &snapshots, || send(&mut socket, &ready))
            }
        };
        answer
            .words
            .truncate(answer.words.floor_char_boundary(LONGEST));
        answer.memory = own_memory().unwrap_or_default();
        answer.library = library.is_some();
        send(&mut socket, &answer)?;
    }
    Ok(())
}

fn run(library: Option<&Library>, words: &[String]) -> Answer {
    let fits = words.len() <= MOST_WORDS;
    match (library, line(words)) {
        (Some(library), Some(line)) if fits => library.run(&line),
        _ => exec(words),
    }
}

/// LVM writes its metadata past the page cache and never asks the disks to write down their own.
fn flush(devices: &[String]) -> Answer {
    let failed = devices.iter().find_map(|device| {
        let flushed = fs::File::open(device).and_then(|file| file.sync_all());
        flushed
            .err()
            .map(|error| format!("flush {device}: {error}"))
    });
    Answer {
        done: failed.is_none(),
        words: failed.unwrap_or_default(),
        ..Answer::default()
    }
}

/// The program instead of the library: the same command, much slower.
fn exec(words: &[String]) -> Answer {
    let output = Process::new("lvm")
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    match output {
        Ok(output) => Answer {
            done: output.status.success(),
            words: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            ..Answer::default()
        },
        Err(error) => Answer {
            missing: error.kind() == io::ErrorKind::NotFound,
            words: format!("cannot start lvm: {error}"),
            ..Answer::default()
        },
    }
}

/// Bytes of memory that nobody but this process has: in `statm` the second number less the third, in pages. Files that it
/// maps do not count: LVM locks all of its program into memory, which is no growth.
fn own_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split_whitespace().skip(1).map(str::parse);
    let (resident, shared): (u64, u64) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(resident.saturating_sub(shared) * 4096)
}
