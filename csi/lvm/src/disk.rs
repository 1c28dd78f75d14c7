//! Reading a block device past the page cache, with a deadline: a disk that hangs keeps one thread, and no
//! caller.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Alignment that every disk accepts for direct reads.
const ALIGN: usize = 4096;

/// What is asked of the thread of a disk: bytes from an offset.
type Job = (u64, usize, SyncSender<io::Result<Vec<u8>>>);

/// A block device.
#[derive(Debug)]
pub(crate) struct Disk {
    path: PathBuf,
    jobs: Mutex<Option<SyncSender<Job>>>,
    hangs: Arc<AtomicBool>,
}

impl Disk {
    /// A device; nothing is opened yet.
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            jobs: Mutex::new(None),
            hangs: Arc::default(),
        }
    }

    /// Its node.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads bytes; fewer come back only at the device's end.
    ///
    /// # Errors
    /// `TimedOut` when it takes too long, or an earlier read still hangs.
    pub(crate) fn read(&self, offset: u64, len: usize, deadline: Duration) -> io::Result<Vec<u8>> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if self.hangs.load(Ordering::Acquire) {
            return Err(self.hung());
        }
        let (answer, answered) = sync_channel(1);
        let mut job = Some((offset, len, answer));
        if let Some(thread) = jobs.as_ref() {
            job = thread
                .send(job.take().ok_or(ErrorKind::Other)?)
                .err()
                .map(|lost| lost.0);
        }
        if let Some(job) = job {
            let thread = self.thread()?;
            thread.send(job).map_err(|_| ErrorKind::BrokenPipe)?;
            *jobs = Some(thread);
        }
        answered.recv_timeout(deadline).unwrap_or_else(|_| {
            self.hangs.store(true, Ordering::Release);
            Err(self.hung())
        })
    }

    fn hung(&self) -> io::Error {
        io::Error::new(
            ErrorKind::TimedOut,
            format!("{} does not answer", self.path.display()),
        )
    }

    fn thread(&self) -> io::Result<SyncSender<Job>> {
        let (send, receive): (_, Receiver<Job>) = sync_channel(1);
        let (path, hangs) = (self.path.clone(), Arc::clone(&self.hangs));
        thread::Builder::new()
            .name("disk".to_owned())
            .stack_size(64 << 10)
            .spawn(move || {
                for (offset, len, answer) in receive {
                    let result = read_direct(&path, offset, len);
                    hangs.store(false, Ordering::Release);
                    // A caller that has left does not want it any more.
                    let _ = answer.send(result);
                }
            })?;
        Ok(send)
    }
}

/// Opens anew each time: under the same name there may be another disk by now.
fn read_direct(path: &Path, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = open(libc::O_DIRECT | libc::O_NONBLOCK).or_else(|error| match error.kind() {
        // A file on tmpfs, in tests: there is no cache to get past.
        ErrorKind::InvalidInput => open(0),
        _ => Err(error),
    })?;
    read_aligned(&file, offset, len)
}

fn read_aligned(file: &File, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let lead = usize::try_from(offset % ALIGN as u64).map_err(|_| ErrorKind::InvalidInput)?;
    let wanted = (lead + len).next_multiple_of(ALIGN);
    let mut space = vec![0; wanted + ALIGN];
    let shift = space.as_ptr().align_offset(ALIGN);
    let buffer = space
        .get_mut(shift..shift + wanted)
        .ok_or(ErrorKind::OutOfMemory)?;
    let mut filled = 0;
    while filled < wanted {
        match file.read_at(&mut buffer[filled..], offset - lead as u64 + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        // Past a short read the next one would not be aligned: that was the end.
        if filled % ALIGN != 0 {
            break;
        }
    }
    let end = filled.min(lead + len);
    Ok(buffer.get(lead..end).unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENT: Duration = Duration::from_mins(1);

    #[test]
    fn bytes_come_from_any_offset_and_stop_at_the_end() {
        let file = tempfile::NamedTempFile::new().expect("file");
        let content: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        std::fs::write(file.path(), &content).expect("written");
        let disk = Disk::new(file.path().to_owned());
        for (offset, len) in [(0, 1), (4095, 2), (512, 8192), (9_999, 50), (20_000, 5)] {
            let from = usize::try_from(offset).expect("small").min(content.len());
            let to = (from + len).min(content.len());
            let read = disk.read(offset, len, PATIENT).expect("read");
            assert_eq!(read, content[from..to], "{len} bytes at {offset}");
        }
    }

    #[test]
    fn a_device_that_does_not_answer_holds_nobody_and_heals() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("file");
        let disk = Disk::new(path.clone());
        // Nobody answers the first: a thread that never takes its job stands for a hung disk.
        let (send, receive) = sync_channel(1);
        *disk.jobs.lock().expect("lock") = Some(send);
        let error = disk
            .read(0, 1, Duration::from_millis(1))
            .expect_err("hangs");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(
            error.to_string().ends_with("file does not answer"),
            "{error}"
        );
        let error = disk
            .read(0, 1, PATIENT)
            .expect_err("still hangs, told at once");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        drop(receive);
        disk.hangs.store(false, Ordering::Release);
        std::fs::write(&path, b"x").expect("written");
        assert_eq!(disk.read(0, 1, PATIENT).expect("read"), b"x");
    }
}
