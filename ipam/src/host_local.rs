//! host-local's directory: one file an address, named by it, with container id, CR LF and interface
//! name inside; `last_reserved_ip.N` for set N; flock(2) on `lock`.
//!
//! The directory does not say which namespace an address belongs to and keeps addresses of pods that
//! are long gone. libcni's cached result of ADD does say it, and is removed by DEL: an address is taken
//! over only if such a result names a namespace that still exists.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;
use serde::Deserialize;

use crate::boot::Presence;
use crate::config::MAX_SETS;
use crate::error::{IpamError, Result};
use crate::format::Detail;
use crate::owner::Owner;
use crate::store::Store;

const LAST: &str = "last_reserved_ip.";
const LOCK: &str = "lock";
/// Files in these directories are some hundred bytes; libcni's hold a configuration and a result.
const LONGEST: u64 = 1 << 20;

/// Takes over what is confirmed, in one change with the mark that this was done.
pub(crate) fn import(store: &mut Store<'_>, dir: &Path) -> Result<()> {
    let mut details = Vec::new();
    let mut last = [None; MAX_SETS];
    let _lock = lock(dir);
    for (name, path) in files(dir)? {
        let Some(text) = read(&path) else { continue };
        if let Some(index) = name
            .strip_prefix(LAST)
            .and_then(|index| index.parse::<usize>().ok())
        {
            if let (Some(last), Ok(address)) = (last.get_mut(index), text.trim().parse()) {
                *last = Some(address);
            }
        } else if let Ok(address) = name.parse::<IpAddr>() {
            details.extend(confirmed(store, dir, address.to_canonical(), &text));
        }
    }
    let inserted = store.table.insert(details, |header| {
        header.last = last;
        header.imported = true;
    });
    inserted.map_err(store.writing())
}

fn confirmed(store: &Store<'_>, dir: &Path, address: IpAddr, text: &str) -> Option<Detail> {
    let mut lines = text.lines().map(str::trim);
    let container = lines.next()?;
    // Files of host-local before 0.8 end here; runtimes call a pod's interface eth0.
    let ifname = lines
        .next()
        .filter(|name| !name.is_empty())
        .unwrap_or("eth0");
    let owner = Owner::new(container, ifname).ok()?;
    let network = dir.file_name()?.to_str()?;
    let name = format!("{network}-{}-{ifname}", owner.container());
    let cached = read(&store.env.cni_results.join(name))?;
    let cached: CachedResult = serde_json::from_str(&cached).ok()?;
    let netns = store.env.namespaces.at(&cached.netns()?).ok()?;
    let here = store.env.namespaces.presence(&netns) == Presence::Here;
    here.then(|| Detail {
        seq: 0,
        address,
        set: 0,
        since: SystemTime::now(),
        owner,
        netns: Some(netns),
    })
}

/// libcni's `cniCacheV1` file, as far as it tells the namespace.
#[derive(Deserialize)]
struct CachedResult {
    netns: Option<PathBuf>,
    result: Option<CachedInterfaces>,
}

#[derive(Deserialize)]
struct CachedInterfaces {
    #[serde(default)]
    interfaces: Vec<CachedInterface>,
}

#[derive(Deserialize)]
struct CachedInterface {
    sandbox: Option<PathBuf>,
}

impl CachedResult {
    fn netns(self) -> Option<PathBuf> {
        let interfaces = self.result.into_iter().flat_map(|result| result.interfaces);
        let sandboxes = interfaces.filter_map(|interface| interface.sandbox);
        self.netns
            .into_iter()
            .chain(sandboxes)
            .find(|path| !path.as_os_str().is_empty())
    }
}

impl Store<'_> {
    /// Writes all leases back to host-local's directory, frees there what is not held, and removes the
    /// lease file: from then on the directory is the truth, and a later session takes it over again.
    ///
    /// # Errors
    /// A file cannot be written; the lease file is still there then.
    pub fn export_host_local(mut self) -> Result<()> {
        let dir = self.path.with_extension("");
        std::fs::create_dir_all(&dir).map_err(IpamError::io("make the directory", &dir))?;
        let _lock = lock(&dir);
        for (name, path) in files(&dir)? {
            if name.parse::<IpAddr>().is_ok() || name.starts_with(LAST) {
                std::fs::remove_file(&path).map_err(IpamError::io("remove", &path))?;
            }
        }
        for lease in self.leases()? {
            let owner = &lease.owner;
            let text = format!("{}\r\n{}", owner.container(), owner.ifname());
            write(&dir.join(lease.address.to_string()), &text)?;
        }
        for (index, last) in self.table.header().last.iter().enumerate() {
            if let Some(last) = last {
                write(&dir.join(format!("{LAST}{index}")), &last.to_string())?;
            }
        }
        std::fs::remove_file(&self.path).map_err(IpamError::io("remove", &self.path))
    }
}

/// Names and paths; a directory that is not there has none.
fn files(dir: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(IpamError::io("read the directory", dir))?,
    };
    let named =
        |entry: std::fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.path()));
    let entries: io::Result<Vec<_>> = entries.collect();
    let entries = entries.map_err(IpamError::io("read the directory", dir))?;
    Ok(entries.into_iter().filter_map(named).collect())
}

/// host-local's own lock, held as long as the file is open; none where it never ran.
fn lock(dir: &Path) -> Option<File> {
    let file = options().read(true).write(true).open(dir.join(LOCK)).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// The text of a small regular file; what cannot be read confirms nothing.
fn read(path: &Path) -> Option<String> {
    let file = options().read(true).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Some(text)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let file = options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = file.map_err(IpamError::io("make", path))?;
    file.write_all(text.as_bytes())
        .map_err(IpamError::io("write", path))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).bits());
    options
}

#[cfg(test)]
mod tests;
