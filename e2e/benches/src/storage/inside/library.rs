//! LVM's library in a worker of this bench's own, spoken to as the driver speaks to its.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::exec::Exec;
use super::process::Process;

/// A worker as the driver starts it, with LVM's library loaded, for this bench alone.
#[derive(Debug)]
pub(super) struct Library {
    child: Child,
    socket: UnixStream,
}

impl Library {
    /// Starts it.
    pub(super) fn start(driver: &Path, exec: &Exec) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(driver);
        exec.surround(&mut command);
        let child = command
            .arg("lvm-worker")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("start {}", driver.display()))?;
        let mut library = Self {
            child,
            socket: ours,
        };
        let answer = library.ask(&["version".to_owned()])?;
        ensure!(answer["library"] == true, "the worker has no liblvm2cmd");
        Ok(library)
    }

    pub(super) fn process(&self) -> Process {
        Process::new(self.child.id())
    }

    /// Runs a command, which must succeed.
    pub(super) fn run(&mut self, words: &[String]) -> Result<()> {
        let answer = self.ask(words)?;
        if answer["done"] != true {
            bail!("{}: {}", words.join(" "), answer["words"]);
        }
        Ok(())
    }

    /// A message is JSON behind its length in four bytes, little-endian.
    fn ask(&mut self, words: &[String]) -> Result<Value> {
        let request = json!({ "Run": words }).to_string();
        let mut packet = u32::try_from(request.len())?.to_le_bytes().to_vec();
        packet.extend(request.bytes());
        self.socket.write_all(&packet)?;
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let mut answer = vec![0; usize::try_from(u32::from_le_bytes(length))?];
        self.socket.read_exact(&mut answer)?;
        Ok(serde_json::from_slice(&answer)?)
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        // It ends by itself when its socket closes.
        let _ = self.socket.shutdown(Shutdown::Both);
        let _ = self.child.wait();
    }
}
