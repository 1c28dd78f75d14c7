use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::*;
use crate::owner::Owner;

/// A file in memory that may die: after `writes` more writes, and of the last one only `torn` bytes are kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemDisk(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    bytes: Vec<u8>,
    death: Option<Death>,
    written: usize,
}

#[derive(Debug, Clone, Copy)]
struct Death {
    writes: usize,
    torn: usize,
    kind: io::ErrorKind,
}

impl MemDisk {
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(Memory {
            bytes,
            ..Memory::default()
        })))
    }

    /// Dies at the write after `writes` more.
    pub(crate) fn die_after(&self, writes: usize, torn: usize, kind: io::ErrorKind) {
        self.0.lock().unwrap().death = Some(Death { writes, torn, kind });
    }

    pub(crate) fn revive(&self) {
        self.0.lock().unwrap().death = None;
    }

    /// Number of writes since the last call.
    pub(crate) fn take_written(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().written)
    }

    pub(crate) fn flip(&self, offset: u64) {
        self.0.lock().unwrap().bytes[usize::try_from(offset).unwrap()] ^= 0x55;
    }
}

impl Disk for MemDisk {
    fn length(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let memory = self.0.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let bytes = memory.bytes.get(start..start + buffer.len());
        buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap();
        let (start, mut kept, mut result) = (usize::try_from(offset).unwrap(), bytes.len(), Ok(()));
        match &mut memory.death {
            Some(Death {
                writes: 0,
                torn,
                kind,
            }) => {
                kept = kept.min(*torn);
                *torn = 0;
                result = Err((*kind).into());
            }
            Some(Death { writes, .. }) => *writes -= 1,
            None => {}
        }
        memory.written += 1;
        if kept > 0 {
            let length = memory.bytes.len().max(start + kept);
            memory.bytes.resize(length, 0);
            memory.bytes[start..start + kept].copy_from_slice(&bytes[..kept]);
        }
        result
    }
}

fn load(disk: MemDisk) -> Result<Table, LoadError> {
    let length = disk.length()?;
    Table::load(Box::new(disk), length)
}

fn empty() -> (MemDisk, Table) {
    let disk = MemDisk::default();
    format(&disk, BootId([1; 16])).unwrap();
    let table = load(disk.clone()).unwrap();
    (disk, table)
}

fn detail(address: u32, container: &str) -> Detail {
    Detail {
        seq: 0,
        address: std::net::Ipv4Addr::from_bits(address).into(),
        set: 0,
        since: SystemTime::UNIX_EPOCH,
        owner: Owner::new(container, "eth0").unwrap(),
        netns: None,
    }
}

fn addresses(table: &Table) -> Vec<IpAddr> {
    table.held().map(|(_, entry)| entry.address()).collect()
}

#[test]
fn an_address_keeps_one_slot_through_its_whole_life() {
    let (disk, mut table) = empty();
    for _ in 0..3 {
        table.insert(vec![detail(1, "a")], |_| ()).unwrap();
        let slots: Vec<Slot> = table.held().map(|(slot, _)| slot).collect();
        assert_eq!(slots, [0]);
        table.free(&slots).unwrap();
        assert_eq!(table.in_state(State::Freed).count(), 1);
    }
    let again = load(disk).unwrap();
    assert_eq!(
        (again.held().count(), again.in_state(State::Freed).count()),
        (0, 1)
    );
}

#[test]
fn the_file_is_bounded_by_leases_not_by_addresses_ever_used() {
    let (_, mut table) = empty();
    for address in 0..2000 {
        table.insert(vec![detail(address, "a")], |_| ()).unwrap();
        let slots: Vec<Slot> = table.held().map(|(slot, _)| slot).collect();
        table.free(&slots).unwrap();
    }
    assert_eq!(table.entries.len(), REMEMBERED + GROUP_SLOTS);
    let oldest = table.known().filter_map(|known| known.freed).min().unwrap();
    let kept = u64::try_from(table.entries.len()).unwrap();
    assert_eq!(
        oldest,
        2 * (2000 - kept) + 2,
        "those forgotten are the oldest"
    );
}

#[test]
fn a_full_disk_leaves_everything_as_it_was_and_frees_can_go_on() {
    let (disk, mut table) = empty();
    for address in 0..128 {
        table.insert(vec![detail(address, "a")], |_| ()).unwrap();
    }
    disk.die_after(0, 1000, io::ErrorKind::StorageFull);
    let error = table.insert(vec![detail(200, "b")], |_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    disk.revive();
    let mut again = load(disk.clone()).unwrap();
    assert_eq!(addresses(&again).len(), 128);
    again.free(&[5]).unwrap();
    disk.die_after(0, 0, io::ErrorKind::StorageFull);
    let error = again.insert(vec![detail(200, "b")], |_| ()).unwrap_err();
    assert_eq!(
        error.kind(),
        io::ErrorKind::StorageFull,
        "the write of the slot itself fails here"
    );
    disk.revive();
    again.refresh().unwrap();
    again
        .insert(vec![detail(200, "b"), detail(201, "b")], |_| ())
        .unwrap();
    assert_eq!(addresses(&again).len(), 129);
}

#[test]
fn a_freed_slot_is_used_when_the_disk_has_no_room_for_more() {
    let (disk, mut table) = empty();
    for address in 0..128 {
        table.insert(vec![detail(address, "a")], |_| ()).unwrap();
    }
    table.free(&[7, 9]).unwrap();
    // Only the first write, that of a new group, fails.
    disk.die_after(0, 0, io::ErrorKind::StorageFull);
    let slots = table.slots_for(&[detail(200, "b")]).unwrap();
    assert_eq!(slots, [7]);
}

#[test]
fn every_write_of_a_change_can_be_the_last_one() {
    let (disk, mut table) = empty();
    table
        .insert(vec![detail(1, "a"), detail(2, "a")], |_| ())
        .unwrap();
    let before = addresses(&table);
    disk.take_written();
    let bytes = disk.0.lock().unwrap().bytes.clone();
    table
        .insert(vec![detail(3, "b"), detail(4, "b")], |_| ())
        .unwrap();
    let writes = disk.take_written();
    assert_eq!(writes, 5, "two details, two entries, one header");
    let after = addresses(&table);

    for dies_at in 0..=writes {
        for torn in [0, 1, 13, 31, 200] {
            let disk = MemDisk::holding(bytes.clone());
            let mut table = load(disk.clone()).unwrap();
            disk.die_after(dies_at, torn, io::ErrorKind::Interrupted);
            let result = table.insert(vec![detail(3, "b"), detail(4, "b")], |_| ());
            disk.revive();
            let mut again = load(disk).unwrap();
            // A header whose tail is as before is complete when its head was written.
            let committed = result.is_ok() || (dies_at == 4 && addresses(&again) == after);
            let expected = if committed { &after } else { &before };
            assert_eq!(
                &addresses(&again),
                expected,
                "dies at {dies_at}, {torn} bytes kept"
            );
            again.insert(vec![detail(5, "c")], |_| ()).unwrap();
            assert_eq!(
                addresses(&again).len(),
                expected.len() + 1,
                "nothing stale comes alive"
            );
            assert!(
                again
                    .held()
                    .all(|(slot, entry)| again.detail(slot, entry).unwrap().is_some())
            );
        }
    }
}

#[test]
fn any_file_is_refused_or_can_be_used() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let mut file = vec![0; HEADER_AREA + GROUP_SIZE];
        file[..HEADER_SIZE].copy_from_slice(&Header::new(BootId([1; 16])).encode());
        let at = HEADER_AREA;
        let length = bytes.len().min(GROUP_SIZE);
        file[at..at + length].copy_from_slice(&bytes[..length]);
        let mut table = load(MemDisk::holding(file)).unwrap();
        table.insert(vec![detail(1, "a")], |_| ()).unwrap();
        let slots: Vec<Slot> = table.held().map(|(slot, _)| slot).collect();
        table.free(&slots).unwrap();
        assert_eq!(table.held().count(), 0);
        let _ = load(MemDisk::holding(bytes.to_vec()));
    });
}
