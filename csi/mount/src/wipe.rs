//! Writes zeros: over fresh extents, over a volume that is to leave no byte behind.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use nix::errno::Errno;

use crate::device::{open_error, size_of};
use crate::error::{MountError, Result};
use crate::sys;

/// One request to the kernel: small enough to end soon, large enough to cost little.
const CHUNK: u64 = 64 << 20;
/// One write where the device or an image file has no better way.
const BUFFER: usize = 1 << 20;

/// Zeros a range of a device, on disk when this returns.
pub fn zero(device: &Path, offset: u64, length: u64) -> Result<()> {
    let file = open(device)?;
    let range = offset
        .checked_add(length)
        .ok_or_else(|| io::Error::from(Errno::EOVERFLOW));
    let work = || -> io::Result<()> {
        let end = range?;
        for start in (offset..end).step_by(usize::try_from(CHUNK).unwrap_or(usize::MAX)) {
            zero_chunk(&file, start, CHUNK.min(end - start), Discard::Allowed)?;
        }
        file.sync_all()
    };
    work().map_err(MountError::io("zero", device))
}

/// Overwrites a whole device with zeros from an offset on, a chunk at a time, each on disk before
/// `progress` is told how far it is; ends early when that says no. Returns how far it came: give that as
/// `from` to go on. Zeros are written, not asked of the device: a thin volume would only forget the
/// blocks, and they would come back to the pool with their content.
pub fn wipe(device: &Path, from: u64, progress: &mut dyn FnMut(u64) -> bool) -> Result<u64> {
    let file = open(device)?;
    let mut work = || -> io::Result<u64> {
        let (mut at, size) = (from, size_of(&file)?);
        while at < size {
            let length = CHUNK.min(size - at);
            zero_chunk(&file, at, length, Discard::Never)?;
            file.sync_data()?;
            at += length;
            if !progress(at) {
                break;
            }
        }
        Ok(at)
    };
    work().map_err(MountError::io("wipe", device))
}

/// Writes zeros over one range, on disk when this returns: for volumes of which only some ranges were
/// ever written (thin ones).
pub fn overwrite(device: &Path, offset: u64, length: u64) -> Result<()> {
    let file = open(device)?;
    let work = || -> io::Result<()> {
        zero_chunk(&file, offset, length, Discard::Never)?;
        file.sync_data()
    };
    work().map_err(MountError::io("wipe", device))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Discard {
    Allowed,
    Never,
}

fn open(device: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(device);
    opened.map_err(|source| open_error("open", device, source))
}

fn zero_chunk(file: &File, offset: u64, length: u64, discard: Discard) -> io::Result<()> {
    if discard == Discard::Allowed && file.metadata()?.file_type().is_block_device() {
        match sys::zero_out(file, offset, length) {
            Err(error) if refused(&error) => {}
            result => return result,
        }
    }
    let zeros = vec![0; BUFFER];
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let part = usize::try_from(end - at).unwrap_or(BUFFER).min(BUFFER);
        file.write_all_at(&zeros[..part], at)?;
        at += part as u64;
    }
    Ok(())
}

/// The device cannot do it, or not for ranges that are no multiple of its sector.
fn refused(error: &io::Error) -> bool {
    let known = [Errno::EOPNOTSUPP, Errno::EINVAL, Errno::ENOTTY];
    error
        .raw_os_error()
        .is_some_and(|code| known.iter().any(|errno| *errno as i32 == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(length: usize) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; length]).unwrap();
        file
    }

    #[test]
    fn a_range_is_zeroed_and_nothing_beside_it() {
        let file = image(5000);
        zero(file.path(), 1000, 3000).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(
            bytes[..1000]
                .iter()
                .chain(&bytes[4000..])
                .all(|byte| *byte == 7)
        );
        assert!(bytes[1000..4000].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_wipe_goes_on_where_it_ended() {
        let file = image(5 << 20);
        file.as_file().set_len(CHUNK + 4096).unwrap();
        let mut told = Vec::new();
        let first = wipe(file.path(), 0, &mut |at| {
            told.push(at);
            false
        });
        let first = first.unwrap();
        assert_eq!(first, CHUNK);
        let all = wipe(file.path(), first, &mut |at| {
            told.push(at);
            true
        });
        assert_eq!(all.unwrap(), CHUNK + 4096);
        assert_eq!(told, [CHUNK, CHUNK + 4096]);
        assert!(
            std::fs::read(file.path())
                .unwrap()
                .iter()
                .all(|byte| *byte == 0)
        );
    }
}
