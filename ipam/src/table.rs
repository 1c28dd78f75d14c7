//! Slots of a lease file and their changes: each is all or nothing, wherever the process is killed.
//!
//! Order of writes: details, entries, then the header, whose number makes the entries count. What a
//! killed process left behind its last header is emptied by the next one that loads the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::alloc::Known;
use crate::boot::BootId;
use crate::format::{
    DETAIL_SIZE, Detail, ENTRY_SIZE, Entry, GROUP_SIZE, GROUP_SLOTS, HEADER_AREA, HEADER_SIZE,
    Header, HeaderError, INDEX_SIZE, OwnerTag, Slot, State, detail_offset, entry_offset, slots_in,
};

/// Freed addresses that are remembered for the sake of their order before their slots are used for
/// others; those forgotten were freed before, and come before, those that are remembered.
const REMEMBERED: usize = 256;

/// What the table needs of a file; tests put in one that dies at a chosen write.
pub(crate) trait Disk: std::fmt::Debug + Send {
    /// Length in bytes.
    fn length(&self) -> io::Result<u64>;
    /// Fills the buffer or fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// Writes everything or fails, with any part of it written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
}

impl Disk for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }
}

/// The entries of one file in memory. Owned by one locked [`crate::Store`].
#[derive(Debug)]
pub(crate) struct Table {
    disk: Box<dyn Disk>,
    header: Header,
    /// By slot.
    entries: Vec<Entry>,
    /// A write failed: memory and file may differ.
    stale: bool,
}

/// Why a file cannot be loaded.
#[derive(Debug)]
pub(crate) enum LoadError {
    Io(io::Error),
    Header(HeaderError),
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Makes an empty file a lease file, by one write, and returns its length.
pub(crate) fn format(disk: &dyn Disk, boot: BootId) -> io::Result<u64> {
    let mut area = [0; HEADER_AREA];
    area[..HEADER_SIZE].copy_from_slice(&Header::new(boot).encode());
    disk.write_at(&area, 0)?;
    Ok(HEADER_AREA as u64)
}

impl Table {
    /// Reads a file of `length` bytes.
    pub(crate) fn load(disk: Box<dyn Disk>, length: u64) -> Result<Self, LoadError> {
        let mut area = [0; 2 * HEADER_SIZE];
        if length < area.len() as u64 {
            return Err(LoadError::Header(HeaderError::NotOurs));
        }
        disk.read_at(&mut area, 0)?;
        let header = Header::decode(&area).map_err(LoadError::Header)?;
        let mut table = Self {
            disk,
            header,
            entries: Vec::new(),
            stale: true,
        };
        table.read_entries(length)?;
        Ok(table)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    /// Held addresses with their slots.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.in_state(State::Held)
    }

    /// Held addresses and those that are remembered to be free.
    pub(crate) fn known(&self) -> impl Iterator<Item = Known> + Clone {
        let entries = self
            .entries
            .iter()
            .filter(|entry| entry.state() != State::Empty);
        entries.map(|entry| Known {
            address: entry.address(),
            freed: (entry.state() == State::Freed).then(|| entry.seq()),
        })
    }

    /// At least the number of known addresses, without counting them.
    pub(crate) fn slots(&self) -> usize {
        self.entries.len()
    }

    fn in_state(&self, state: State) -> impl Iterator<Item = (Slot, &Entry)> {
        self.entries
            .iter()
            .enumerate()
            .filter(move |(_, entry)| entry.state() == state)
    }

    fn empty(&self) -> impl Iterator<Item = Slot> {
        self.in_state(State::Empty).map(|(slot, _)| slot)
    }

    /// The rest of a slot; none when it was damaged.
    pub(crate) fn detail(&self, slot: Slot, entry: &Entry) -> io::Result<Option<Detail>> {
        let mut bytes = [0; DETAIL_SIZE];
        self.disk.read_at(&mut bytes, detail_offset(slot))?;
        let belongs = |d: &Detail| d.seq == entry.seq() && d.address == entry.address();
        Ok(Detail::decode(&bytes).filter(belongs))
    }

    /// Reads the file again after a write failed.
    pub(crate) fn refresh(&mut self) -> Result<(), LoadError> {
        if self.stale {
            let mut area = [0; 2 * HEADER_SIZE];
            self.disk.read_at(&mut area, 0)?;
            self.header = Header::decode(&area).map_err(LoadError::Header)?;
            self.read_entries(self.disk.length()?)?;
        }
        Ok(())
    }

    /// Adds `new`, whose numbers are set here, and changes the header, in one step.
    pub(crate) fn insert(
        &mut self,
        mut new: Vec<Detail>,
        change: impl FnOnce(&mut Header),
    ) -> io::Result<()> {
        let seq = self.next_seq();
        let slots = self.slots_for(&new)?;
        self.stale = true;
        for (slot, detail) in slots.iter().zip(&mut new) {
            detail.seq = seq;
            self.disk.write_at(&detail.encode(), detail_offset(*slot))?;
        }
        let entry = |detail: &Detail| {
            Entry::new(
                State::Held,
                OwnerTag::of(&detail.owner),
                seq,
                detail.address,
            )
        };
        let entries: Vec<(Slot, Entry)> = slots.into_iter().zip(new.iter().map(entry)).collect();
        self.write_entries(&entries)?;
        self.commit(change)
    }

    /// Frees slots. Killed half-way, some are free and some still held.
    pub(crate) fn free(&mut self, slots: &[Slot]) -> io::Result<()> {
        if slots.is_empty() {
            return Ok(());
        }
        let seq = self.next_seq();
        let freed = |entry: &Entry| Entry::new(State::Freed, entry.tag(), seq, entry.address());
        let held = self.held().filter(|(slot, _)| slots.contains(slot));
        let freed: Vec<(Slot, Entry)> = held.map(|(slot, entry)| (slot, freed(entry))).collect();
        self.stale = true;
        self.write_entries(&freed)?;
        self.commit(|_| ())
    }

    /// Changes the header alone.
    pub(crate) fn update(&mut self, change: impl FnOnce(&mut Header)) -> io::Result<()> {
        self.stale = true;
        self.commit(change)
    }

    fn next_seq(&self) -> u64 {
        self.header.seq.saturating_add(1)
    }

    fn commit(&mut self, change: impl FnOnce(&mut Header)) -> io::Result<()> {
        let mut header = self.header.clone();
        header.seq = self.next_seq();
        change(&mut header);
        self.disk.write_at(&header.encode(), header.offset())?;
        self.header = header;
        self.stale = false;
        Ok(())
    }

    fn write_entries(&mut self, new: &[(Slot, Entry)]) -> io::Result<()> {
        for (slot, entry) in new {
            self.disk.write_at(entry.bytes(), entry_offset(*slot))?;
            self.entries[*slot] = *entry;
        }
        Ok(())
    }

    fn read_entries(&mut self, length: u64) -> io::Result<()> {
        let slots = slots_in(length);
        self.entries.clear();
        self.entries.reserve_exact(slots);
        let mut index = [0; INDEX_SIZE];
        for first in (0..slots).step_by(GROUP_SLOTS) {
            self.disk.read_at(&mut index, entry_offset(first))?;
            let (entries, _) = index.as_chunks::<ENTRY_SIZE>();
            self.entries.extend(entries.iter().map(Entry::read));
        }
        let committed = self.header.seq;
        for (slot, entry) in self.entries.iter_mut().enumerate() {
            if entry.state() == State::Held && entry.seq() > committed {
                self.disk
                    .write_at(Entry::EMPTY.bytes(), entry_offset(slot))?;
                *entry = Entry::EMPTY;
            }
        }
        self.stale = false;
        Ok(())
    }

    /// A slot for each: the one that remembers its address, so that no address has two, else an empty
    /// one, else a new one or that of the address that is free the longest.
    fn slots_for(&mut self, new: &[Detail]) -> io::Result<Vec<Slot>> {
        let own = |detail: &Detail| {
            let mut freed = self.in_state(State::Freed);
            freed
                .find(|(_, entry)| entry.address() == detail.address)
                .map(|(slot, _)| slot)
        };
        let mut slots: Vec<Option<Slot>> = new.iter().map(own).collect();
        let missing = slots.iter().filter(|slot| slot.is_none()).count();
        let enough = self.empty().take(missing).count() == missing;
        let oldest = if enough {
            Vec::new()
        } else {
            self.make_room(missing, &slots)?
        };
        let mut spare = self.empty().chain(oldest);
        for slot in &mut slots {
            *slot = slot.or_else(|| spare.next());
        }
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        slots
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or_else(full)
    }

    /// Adds slots until `missing` are empty. Slots of freed addresses that can be used where this was
    /// not done or not possible are returned: those that are free the longest.
    fn make_room(&mut self, missing: usize, taken: &[Option<Slot>]) -> io::Result<Vec<Slot>> {
        let freed = self
            .in_state(State::Freed)
            .map(|(slot, entry)| (entry.seq(), slot));
        let mut freed: Vec<(u64, Slot)> = freed.collect();
        let remembered = freed.len();
        freed.retain(|(_, slot)| !taken.contains(&Some(*slot)));
        if freed.len() > missing {
            freed.select_nth_unstable(missing);
        }
        let mut empty = self.empty().count();
        while empty < missing && remembered <= REMEMBERED {
            match self.grow() {
                Err(error) if empty + freed.len() < missing => return Err(error),
                Err(_) => break,
                Ok(()) => empty += GROUP_SLOTS,
            }
        }
        Ok(freed
            .into_iter()
            .take(missing)
            .map(|(_, slot)| slot)
            .collect())
    }

    /// Adds a group of empty slots. Its space is taken here, so that later changes of its slots do not
    /// need any; a group that was cut off is written again from its start.
    fn grow(&mut self) -> io::Result<()> {
        let slots = self.entries.len();
        self.disk
            .write_at(&vec![0; GROUP_SIZE], entry_offset(slots))?;
        self.entries.resize(slots + GROUP_SLOTS, Entry::EMPTY);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
