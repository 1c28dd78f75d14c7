//! Opening a lease file: making it, locking it, and what is due before its first use.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::boot::Env;
use crate::config::NetworkName;
use crate::error::{IpamError, Result};
use crate::host_local;
use crate::store::{Store, load_error, write_error};
use crate::table::{self, Disk, Table};

impl<'e> Store<'e> {
    /// Opens and locks the network's file, and makes it if there is none. A new file takes over
    /// host-local's directory; the first session of a boot frees what the last boot left.
    ///
    /// # Errors
    /// The file cannot be made, read or written, is no regular file, or is damaged.
    pub fn open(data_dir: &Path, network: &NetworkName, env: &'e Env) -> Result<Self> {
        let path = path_of(data_dir, network);
        let host_local = data_dir.join(network.as_str());
        loop {
            if let Some(file) = lock(&path, true)? {
                return Self::start(Box::new(file), path, &host_local, env);
            }
            let made = std::fs::create_dir_all(data_dir);
            made.map_err(IpamError::io("make the directory", data_dir))?;
        }
    }

    /// As [`Store::open`], but none when there is no file: nothing is held then.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_existing(
        data_dir: &Path,
        network: &NetworkName,
        env: &'e Env,
    ) -> Result<Option<Self>> {
        let path = path_of(data_dir, network);
        while path.symlink_metadata().is_ok() {
            if let Some(file) = lock(&path, false)? {
                let host_local = data_dir.join(network.as_str());
                return Self::start(Box::new(file), path, &host_local, env).map(Some);
            }
        }
        Ok(None)
    }

    /// Everything after the lock.
    pub(crate) fn start(
        disk: Box<dyn Disk>,
        path: PathBuf,
        host_local: &Path,
        env: &'e Env,
    ) -> Result<Self> {
        let mut length = disk.length().map_err(IpamError::io("stat", &path))?;
        if length == 0 {
            length = table::format(disk.as_ref(), env.boot).map_err(write_error(path.clone()))?;
        }
        let table = Table::load(disk, length).map_err(|error| load_error(&path, error))?;
        let mut store = Self { table, path, env };
        if !store.table.header().imported {
            host_local::import(&mut store, host_local)?;
        }
        store.enter_boot()?;
        Ok(store)
    }
}

fn path_of(data_dir: &Path, network: &NetworkName) -> PathBuf {
    data_dir.join(format!("{}.leases", network.as_str()))
}

/// The locked file, or none if it or its directory is not there or was removed meanwhile.
fn lock(path: &Path, create: bool) -> Result<Option<File>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(create)
        .mode(0o600)
        .custom_flags(flags.bits());
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(IpamError::io("open", path))?,
    };
    file.lock().map_err(IpamError::io("lock", path))?;
    let stat = file.metadata().map_err(IpamError::io("stat", path))?;
    if !stat.is_file() {
        let odd = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
        return Err(IpamError::io("open", path)(odd));
    }
    Ok((stat.nlink() > 0).then_some(file))
}

#[cfg(test)]
mod tests;
