//! Bytes that a seed stands for, in the parts of a volume: a file each, or a stretch of a raw block device.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use super::call::{Answer, Place};

/// Parts of a volume.
pub(crate) const PARTS: u8 = 4;
/// Bytes of a part.
const LENGTH: usize = 256 << 10;
/// Between the parts of a raw device.
const DISTANCE: u64 = 1 << 20;

fn bytes(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

fn open(place: &Place, part: u8, options: &mut OpenOptions) -> io::Result<File> {
    let target = Path::new(&place.target);
    if !place.access.block {
        return options.open(target.join(format!("part-{part}")));
    }
    let mut device = options.create(false).open(target)?;
    device.seek(SeekFrom::Start(u64::from(part) * DISTANCE))?;
    Ok(device)
}

/// Writes a part. It is on the disk when this returns.
pub(crate) fn write(place: &Place, part: u8, seed: u64) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let mut file = open(place, part, &mut options)?;
    file.write_all(&bytes(seed))?;
    file.sync_all()?;
    if !place.access.block {
        File::open(&place.target)?.sync_all()?;
    }
    Ok(())
}

/// Blocks of [`fill`] that are written between two flushes.
const TOGETHER: u64 = 64;

fn block(number: u64) -> Vec<u8> {
    (number + 1).to_le_bytes().repeat(512)
}

/// Writes a block at each of `numbers` of `steps` (start, stride), until that fails.
pub(crate) fn fill(place: &Place, steps: (u64, u64), numbers: Range<u64>) -> io::Result<Answer> {
    let (start, stride) = steps;
    let device = OpenOptions::new().write(true).open(&place.target)?;
    let write = |first: u64, after: u64| {
        for number in first..after {
            device.write_all_at(&block(number), start + number * stride)?;
        }
        device.sync_data()
    };
    let (mut at, mut longest_ms) = (numbers.start, 0);
    let error = loop {
        if at >= numbers.end {
            break None;
        }
        let (begin, after) = (Instant::now(), (at + TOGETHER).min(numbers.end));
        let result = write(at, after);
        let took = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        longest_ms = took.max(longest_ms);
        match result {
            Ok(()) => at = after,
            Err(error) => break Some(error.to_string()),
        }
    };
    Ok(Answer::Filled {
        strides: at,
        error,
        longest_ms,
    })
}

/// Whether the blocks of [`fill`] are there.
pub(crate) fn check_fill(place: &Place, steps: (u64, u64), strides: u64) -> io::Result<()> {
    let (start, stride) = steps;
    let device = File::open(&place.target)?;
    let mut found = vec![0; 4096];
    for number in 0..strides {
        device.read_exact_at(&mut found, start + number * stride)?;
        if found != block(number) {
            return Err(io::Error::other(format!(
                "block {number} is not what was written"
            )));
        }
    }
    Ok(())
}

/// Whether a part reads as `seed` stands for.
pub(crate) fn check(place: &Place, part: u8, seed: u64) -> io::Result<()> {
    let mut file = open(place, part, OpenOptions::new().read(true))?;
    let mut found = vec![0; LENGTH];
    file.read_exact(&mut found)?;
    let wanted = bytes(seed);
    if let Some(at) = (0..LENGTH).find(|at| found[*at] != wanted[*at]) {
        let zero = if found[at..].iter().all(|byte| *byte == 0) {
            ", all zeros from there"
        } else {
            ""
        };
        let why =
            format!("part {part} is not what seed {seed} stands for, from byte {at} on{zero}");
        return Err(io::Error::other(why));
    }
    Ok(())
}
