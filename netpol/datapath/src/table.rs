//! One map that we write: entries put, removed and read back, and how many there are.

use std::collections::HashMap as Entries;
use std::hash::Hash;

use aya::Pod;
use aya::maps::{HashMap, LpmTrie, MapData, MapError, lpm_trie};
use nix::errno::Errno;

use crate::counters::Fill;
use crate::error::DatapathError;
use crate::maps::MapName;

/// `BPF_NOEXIST` and `BPF_EXIST`.
const NEW: u64 = 1;
const OVER: u64 = 2;

/// A kind of map by what we do with it.
pub(crate) trait Store {
    /// Its keys.
    type Key: Copy + Ord + Hash + std::fmt::Debug;
    /// Its values.
    type Value: Copy + PartialEq;

    /// Writes an entry.
    fn put(&mut self, key: &Self::Key, value: &Self::Value, flags: u64) -> Result<(), MapError>;
    /// Removes an entry.
    fn take(&mut self, key: &Self::Key) -> Result<(), MapError>;
    /// Reads all entries.
    fn read(&self) -> Result<Entries<Self::Key, Self::Value>, MapError>;
}

impl<K, V> Store for HashMap<MapData, K, V>
where
    K: Pod + Ord + Hash + std::fmt::Debug,
    V: Pod + PartialEq,
{
    type Key = K;
    type Value = V;

    fn put(&mut self, key: &K, value: &V, flags: u64) -> Result<(), MapError> {
        self.insert(key, value, flags)
    }

    fn take(&mut self, key: &K) -> Result<(), MapError> {
        self.remove(key)
    }

    fn read(&self) -> Result<Entries<K, V>, MapError> {
        self.iter().collect()
    }
}

/// A key of a trie: how many of its bits count, and the bits.
pub(crate) type Prefix<K> = (u32, K);

impl<K, V> Store for LpmTrie<MapData, K, V>
where
    K: Pod + Ord + Hash + std::fmt::Debug,
    V: Pod + PartialEq,
{
    type Key = Prefix<K>;
    type Value = V;

    fn put(&mut self, (length, bits): &Prefix<K>, value: &V, flags: u64) -> Result<(), MapError> {
        self.insert(&lpm_trie::Key::new(*length, *bits), value, flags)
    }

    fn take(&mut self, (length, bits): &Prefix<K>) -> Result<(), MapError> {
        self.remove(&lpm_trie::Key::new(*length, *bits))
    }

    fn read(&self) -> Result<Entries<Prefix<K>, V>, MapError> {
        let entries = self.iter();
        entries
            .map(|entry| entry.map(|(key, value)| ((key.prefix_len(), key.data()), value)))
            .collect()
    }
}

/// A map with its name and fill.
#[derive(Debug)]
pub(crate) struct Table<S> {
    name: MapName,
    store: S,
    capacity: u32,
    entries: u32,
    /// What the last write met: entries are written in rows of which all are new, or all are there.
    met: u64,
}

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Put {
    /// It is in the map.
    Done,
    /// The map is full.
    Full,
}

impl<S: Store> Table<S> {
    /// A map with room for `capacity` entries, none of which are known yet: see [`Table::dump`].
    pub(crate) fn new(name: MapName, store: S, capacity: u32) -> Self {
        Self {
            name,
            store,
            capacity,
            entries: 0,
            met: NEW,
        }
    }

    /// Makes an entry, or changes the one that is there by one atomic write.
    pub(crate) fn put(&mut self, key: &S::Key, value: &S::Value) -> Result<Put, DatapathError> {
        let other = if self.met == NEW { OVER } else { NEW };
        let met = match self.store.put(key, value, self.met) {
            Ok(()) => self.met,
            Err(error) if matches!(number(&error), Some(Errno::EEXIST | Errno::ENOENT)) => {
                match self.store.put(key, value, other) {
                    Ok(()) => other,
                    Err(error) => return self.refused(error),
                }
            }
            Err(error) => return self.refused(error),
        };
        self.met = met;
        self.entries += u32::from(met == NEW);
        Ok(Put::Done)
    }

    /// `E2BIG` of hash maps, `ENOSPC` of tries; `ENOMEM` of both when the machine has no more.
    fn refused(&self, error: MapError) -> Result<Put, DatapathError> {
        match number(&error) {
            Some(Errno::E2BIG | Errno::ENOSPC | Errno::ENOMEM) => Ok(Put::Full),
            _ => Err(self.name.failed("write")(error)),
        }
    }

    /// Removes an entry; says whether it was there.
    pub(crate) fn remove(&mut self, key: &S::Key) -> Result<bool, DatapathError> {
        match self.store.take(key) {
            Ok(()) => {
                self.entries = self.entries.saturating_sub(1);
                Ok(true)
            }
            Err(error) if number(&error) == Some(Errno::ENOENT) => Ok(false),
            Err(error) => Err(self.name.failed("remove an entry from")(error)),
        }
    }

    /// All entries as they stand in the kernel.
    pub(crate) fn dump(&mut self) -> Result<Entries<S::Key, S::Value>, DatapathError> {
        let entries = self.store.read().map_err(self.name.failed("read"))?;
        self.entries = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        Ok(entries)
    }

    /// How full it is.
    pub(crate) fn fill(&self) -> Fill {
        Fill {
            map: self.name,
            entries: self.entries,
            capacity: self.capacity,
        }
    }
}

/// The system's number of a map's error.
fn number(error: &MapError) -> Option<Errno> {
    let raw = match error {
        MapError::SyscallError(error) => error.io_error.raw_os_error(),
        MapError::IoError(error) => error.raw_os_error(),
        _ => None,
    };
    raw.map(Errno::from_raw)
}
