//! What device-mapper's target `log-writes` has recorded of a disk, and the disk as it was at any point of it.
//!
//! The target writes a request down when the disk has answered it, and one that was not flushed only before the
//! flush that covers it. So the disk at any point of the record is one that a power failure may leave: what was
//! in its volatile cache is lost. The format is that of `drivers/md/dm-log-writes.c`:
//!
//! ```text
//! sector 0   magic, version, number of entries (u64 each), bytes of a sector (u32)
//! entry      one sector: sector, sectors, flags, bytes of the text (u64 each), text of a mark
//!            then the sectors that were written, if any
//! ```

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::fcntl::{FallocateFlags, fallocate};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const HEADER: u64 = 32;
const DISCARD: u64 = 1 << 2;
const MARK: u64 = 1 << 3;

/// One request, or a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Where on the disk, in bytes.
    at: u64,
    bytes: u64,
    /// Where in the record the written bytes are.
    data: u64,
    discard: bool,
    mark: Option<String>,
}

/// A record that was read.
#[derive(Debug)]
pub struct Record {
    file: File,
    entries: Vec<Entry>,
}

impl Record {
    /// Reads the record on a disk; what is added later is not in it.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let mut head = [0; 28];
        file.read_exact_at(&mut head, 0)?;
        if (number(&head, 0), number(&head, 1)) != (MAGIC, VERSION) {
            bail!("{} holds no record of log-writes", path.display());
        }
        let sector = u64::from(u32::from_le_bytes(head[24..28].try_into()?));
        let mut entries = Vec::new();
        let mut at = sector;
        for _ in 0..number(&head, 2) {
            let entry = entry(&file, at, sector)?;
            at = entry.data + if entry.discard { 0 } else { entry.bytes };
            entries.push(entry);
        }
        Ok(Self { file, entries })
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The marks: place among the entries, and text.
    pub fn marks(&self) -> impl Iterator<Item = (usize, &str)> {
        let all = self.entries.iter().enumerate();
        all.filter_map(|(place, entry)| Some((place, entry.mark.as_deref()?)))
    }

    /// Brings a disk from one place of the record to a later one. A discarded range reads as zeros.
    pub fn replay(&self, places: std::ops::Range<usize>, onto: &Path) -> Result<()> {
        let disk = OpenOptions::new().write(true).open(onto)?;
        for entry in &self.entries[places] {
            if entry.discard {
                let hole =
                    FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
                fallocate(
                    &disk,
                    hole,
                    entry.at.cast_signed(),
                    entry.bytes.cast_signed(),
                )?;
            } else if entry.mark.is_none() {
                let mut bytes = vec![0; usize::try_from(entry.bytes)?];
                self.file.read_exact_at(&mut bytes, entry.data)?;
                disk.write_all_at(&bytes, entry.at)?;
            }
        }
        Ok(())
    }
}

/// The number in the `index`th eight bytes.
fn number(bytes: &[u8], index: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[8 * index..8 * index + 8]);
    u64::from_le_bytes(number)
}

fn entry(file: &File, at: u64, sector: u64) -> Result<Entry> {
    let mut bytes = vec![0; usize::try_from(sector)?];
    file.read_exact_at(&mut bytes, at)
        .with_context(|| format!("an entry of the record at byte {at}"))?;
    let flags = number(&bytes, 2);
    let mark = (flags & MARK != 0).then(|| {
        let text = &bytes[usize::try_from(HEADER).unwrap_or(0)..];
        let length = usize::try_from(number(&bytes, 3)).unwrap_or(0);
        let text = &text[..length.min(text.len())];
        String::from_utf8_lossy(text)
            .trim_end_matches('\0')
            .to_owned()
    });
    Ok(Entry {
        at: number(&bytes, 0) * sector,
        bytes: number(&bytes, 1) * sector,
        data: at + sector,
        discard: flags & DISCARD != 0,
        mark,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(numbers: [u64; 4], text: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
        bytes.extend(text.bytes());
        bytes.resize(512, 0);
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_record_is_read_and_replayed_up_to_a_mark() {
        let folder = tempfile::tempdir().unwrap();
        let (record, disk) = (folder.path().join("record"), folder.path().join("disk"));
        let mut bytes: Vec<u8> = [MAGIC, VERSION, 4]
            .iter()
            .flat_map(|it| it.to_le_bytes())
            .collect();
        bytes.extend(512_u32.to_le_bytes());
        bytes.resize(512, 0);
        bytes.extend(entry([2, 1, 0, 0], "", &[7; 512]));
        bytes.extend(entry([0, 0, MARK, 3], "one", &[]));
        bytes.extend(entry([0, 4, DISCARD, 0], "", &[]));
        bytes.extend(entry([1, 1, 1, 0], "", &[8; 512]));
        std::fs::write(&record, bytes).unwrap();
        std::fs::write(&disk, vec![9; 4096]).unwrap();
        let record = Record::read(&record).unwrap();
        assert_eq!(record.len(), 4);
        assert_eq!(record.marks().collect::<Vec<_>>(), [(1, "one")]);
        record.replay(0..2, &disk).unwrap();
        let now = std::fs::read(&disk).unwrap();
        assert_eq!((now[1023], now[1024], now[1535], now[1536]), (9, 7, 7, 9));
        record.replay(2..4, &disk).unwrap();
        let now = std::fs::read(&disk).unwrap();
        assert_eq!((now[0], now[512], now[1024], now[2048]), (0, 8, 0, 9));
    }
}
