//! Bytes that a seed stands for, in the parts of a volume: a file each, or a stretch of a raw block device.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use super::call::Place;

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
