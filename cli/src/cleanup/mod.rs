//! Removes from a node everything that Fairlead made on it.
//!
//! [`dump`] reads what is there, [`plan`] says what of that is ours and in which order it goes, [`apply`]
//! removes it. A failure stops nothing: the rest is removed all the same, and all failures are told.

pub mod apply;
pub mod dump;
pub mod plan;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use fairlead_cni_node::owned::AGENT_LOCK;

use crate::CliError;
use apply::Kernel;
use plan::{Left, Step};

/// The node's folders that hold files of ours.
#[derive(Debug, Clone)]
pub struct Folders {
    /// CNI configurations.
    pub conf: PathBuf,
    /// CNI plugins.
    pub bin: PathBuf,
    /// Lease files.
    pub data: PathBuf,
    /// The node file, and what belongs to the policy socket.
    pub run: PathBuf,
    /// BPF programs and maps.
    pub bpf: PathBuf,
}

/// One thing to tell the operator, as it happens.
#[derive(Debug, Clone, Copy)]
pub enum Report<'a> {
    /// It is gone.
    Removed(&'a Step),
    /// It looks like ours and is not.
    Stays(&'a Left),
    /// It may still be there.
    Failed(&'a CliError),
    /// The end.
    Done {
        /// How many things were removed.
        removed: usize,
        /// Whether that is all there was.
        all: bool,
    },
}

/// Removes everything; returns whether all of it is gone. Errors are told as they come.
///
/// # Errors
///
/// [`CliError`] where nothing was removed: an agent runs on the node, or netlink cannot be used.
pub fn run(folders: &Folders, mut tell: impl FnMut(Report<'_>)) -> Result<bool, CliError> {
    // Held to the end: no agent starts meanwhile.
    let _lock = agent_lock(folders, true)?;
    let mut kernel = Kernel::open()?;
    let (found, mut errors) = dump::dump(&mut kernel, folders);
    let plan = plan::plan(&found, folders);
    let mut removed = 0;
    for step in &plan.steps {
        match kernel.remove(step) {
            Ok(()) => {
                removed += 1;
                tell(Report::Removed(step));
            }
            Err(error) => errors.push(error),
        }
    }
    for left in &plan.left {
        tell(Report::Stays(left));
    }
    for error in &errors {
        tell(Report::Failed(error));
    }
    let all = errors.is_empty();
    tell(Report::Done { removed, all });
    Ok(all)
}

/// The lock that an agent holds while it runs; none where no agent ever ran.
///
/// # Errors
///
/// [`CliError::AgentRuns`] when an agent holds it.
pub fn agent_lock(folders: &Folders, create: bool) -> Result<Option<File>, CliError> {
    let path = folders.run.join(AGENT_LOCK);
    let Some(file) = open(&path, create)? else {
        return Ok(None);
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(CliError::AgentRuns { path }),
        Err(TryLockError::Error(source)) => Err(CliError::file("lock", &path, source)),
    }
}

fn open(path: &Path, create: bool) -> Result<Option<File>, CliError> {
    let mut options = File::options();
    options.read(true).write(create).create(create);
    match options.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CliError::file("open", path, source)),
    }
}
