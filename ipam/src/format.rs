//! The lease file's bytes. Pure: encodes, decodes, reads and writes nothing.
//!
//! ```text
//! 0     header, two copies of 512 bytes at 0 and 512, the valid one with the higher number counts
//! 4096  group 0: 128 entries of 32 bytes, then 128 details of 512 bytes
//! …     group 1 …
//! ```
//!
//! A slot is an entry and the detail with the same index. Entries are what an allocation has to look
//! at: one page for 128 of them. All numbers are little endian. Each part contains a checksum of its
//! other bytes: CRC-32 (IEEE) for header and details, a quicker one for entries, as an allocation
//! reads them all. An entry that fails it is free.
//!
//! A held entry counts only when its number is not above the header's: the header is written last and
//! is the one commit of a change. Both copies fit a disk sector, so that a write never tears both.

use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::address::{from_bytes, to_bytes};
use crate::boot::BootId;
use crate::config::MAX_SETS;
use crate::owner::{Netns, Owner};

pub(crate) const MAGIC: [u8; 8] = *b"FLLEASE\n";
pub(crate) const VERSION: u32 = 1;
pub(crate) const HEADER_SIZE: usize = 512;
/// Where the groups begin.
pub(crate) const HEADER_AREA: usize = 4096;
pub(crate) const GROUP_SLOTS: usize = 128;
pub(crate) const ENTRY_SIZE: usize = 32;
pub(crate) const DETAIL_SIZE: usize = 512;
pub(crate) const INDEX_SIZE: usize = GROUP_SLOTS * ENTRY_SIZE;
pub(crate) const GROUP_SIZE: usize = INDEX_SIZE + GROUP_SLOTS * DETAIL_SIZE;

/// Whether a file that begins with `head` is a lease file; one that was made and never written is empty.
#[must_use]
pub fn is_lease_file(head: &[u8]) -> bool {
    head.is_empty() || head.starts_with(&MAGIC)
}

/// Number of a slot, from 0.
pub(crate) type Slot = usize;

fn group_offset(slot: Slot) -> u64 {
    (HEADER_AREA + slot / GROUP_SLOTS * GROUP_SIZE) as u64
}

/// Where the entry of a slot stands in the file.
pub(crate) fn entry_offset(slot: Slot) -> u64 {
    group_offset(slot) + (slot % GROUP_SLOTS * ENTRY_SIZE) as u64
}

/// Where the detail of a slot stands in the file.
pub(crate) fn detail_offset(slot: Slot) -> u64 {
    group_offset(slot) + (INDEX_SIZE + slot % GROUP_SLOTS * DETAIL_SIZE) as u64
}

/// Number of slots in a file of `length` bytes; a group that was cut off does not count.
pub(crate) fn slots_in(length: u64) -> usize {
    let groups = length.saturating_sub(HEADER_AREA as u64) / GROUP_SIZE as u64;
    usize::try_from(groups).unwrap_or(usize::MAX / GROUP_SLOTS) * GROUP_SLOTS
}

/// What concerns the whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Number of the last committed change.
    pub(crate) seq: u64,
    /// Boot in which the leases were confirmed last.
    pub(crate) boot: BootId,
    /// Whether host-local's directory was taken over.
    pub(crate) imported: bool,
    /// The last address given out of each set, by the set's index.
    pub(crate) last: [Option<IpAddr>; MAX_SETS],
}

/// Why no copy of the header can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HeaderError {
    NotOurs,
    Checksum,
    Version(u32),
}

impl Header {
    pub(crate) fn new(boot: BootId) -> Self {
        Self {
            seq: 0,
            boot,
            imported: false,
            last: [None; MAX_SETS],
        }
    }

    /// Which of the two places a header with this number goes to.
    pub(crate) fn offset(&self) -> u64 {
        (self.seq % 2) * HEADER_SIZE as u64
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_SIZE] {
        let mut out = Writer::<HEADER_SIZE>::new();
        out.put(&MAGIC)
            .put(&[0; 4])
            .put(&VERSION.to_le_bytes())
            .put(&self.seq.to_le_bytes());
        out.put(&self.boot.0).put(&[u8::from(self.imported)]);
        for last in self.last {
            out.put(&[u8::from(last.is_some())]);
            out.put(&last.map_or([0; 16], to_bytes));
        }
        out.seal(8)
    }

    /// The newer valid copy of both.
    pub(crate) fn decode(area: &[u8; 2 * HEADER_SIZE]) -> Result<Self, HeaderError> {
        let (first, second) = area.split_at(HEADER_SIZE);
        match (Self::decode_copy(first), Self::decode_copy(second)) {
            (Ok(one), Ok(two)) => Ok(if one.seq >= two.seq { one } else { two }),
            (Ok(one), Err(_)) | (Err(_), Ok(one)) => Ok(one),
            (Err(HeaderError::NotOurs), Err(other)) | (Err(other), Err(_)) => Err(other),
        }
    }

    fn decode_copy(copy: &[u8]) -> Result<Self, HeaderError> {
        let mut input = Reader(copy);
        if input.take::<8>() != MAGIC {
            return Err(HeaderError::NotOurs);
        }
        if !sealed(copy, 8) {
            return Err(HeaderError::Checksum);
        }
        let _crc = input.u32();
        let version = input.u32();
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let mut header = Self::new(BootId([0; 16]));
        header.seq = input.u64();
        header.boot = BootId(input.take());
        header.imported = input.take() != [0];
        for last in &mut header.last {
            let present = input.take() != [0];
            let address = from_bytes(input.take());
            *last = present.then_some(address);
        }
        Ok(header)
    }
}

/// The part of a slot that every allocation looks at, as it stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry([u8; ENTRY_SIZE]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Empty,
    Held,
    /// Free, kept to know since when.
    Freed,
}

/// Few bits of an owner's hash: enough not to read the details of all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerTag([u8; 3]);

impl OwnerTag {
    pub(crate) fn of(owner: &Owner) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(owner.container().as_bytes());
        hasher.update(&[0]);
        hasher.update(owner.ifname().as_bytes());
        let [a, b, c, _] = hasher.finalize().to_le_bytes();
        Self([a, b, c])
    }
}

impl Entry {
    pub(crate) const EMPTY: Self = Self([0; ENTRY_SIZE]);

    /// `seq` is the number of the change that writes this entry.
    pub(crate) fn new(state: State, tag: OwnerTag, seq: u64, address: IpAddr) -> Self {
        let mut out = Writer::<ENTRY_SIZE>::new();
        out.put(&[0; 4])
            .put(&[state as u8])
            .put(&tag.0)
            .put(&seq.to_le_bytes());
        out.put(&to_bytes(address));
        let sum = entry_checksum(&out.bytes).to_le_bytes();
        out.bytes[..4].copy_from_slice(&sum);
        Self(out.bytes)
    }

    /// An entry as it was read; empty if it was not written whole.
    pub(crate) fn read(bytes: &[u8; ENTRY_SIZE]) -> Self {
        let entry = Self(*bytes);
        let sound = bytes[..4] == entry_checksum(bytes).to_le_bytes();
        if sound && entry.state() != State::Empty {
            entry
        } else {
            Self::EMPTY
        }
    }

    pub(crate) fn bytes(&self) -> &[u8; ENTRY_SIZE] {
        &self.0
    }

    pub(crate) fn state(&self) -> State {
        match self.0[4] {
            1 => State::Held,
            2 => State::Freed,
            _ => State::Empty,
        }
    }

    pub(crate) fn tag(&self) -> OwnerTag {
        OwnerTag(Reader(&self.0[5..]).take())
    }

    pub(crate) fn seq(&self) -> u64 {
        Reader(&self.0[8..]).u64()
    }

    pub(crate) fn address(&self) -> IpAddr {
        from_bytes(Reader(&self.0[16..]).take())
    }
}

/// The high half of a sum of products with odd constants, all independent of each other (multilinear
/// hashing; constants from `SplitMix64` and `MurmurHash3`). The first four bytes are left out.
fn entry_checksum(bytes: &[u8; ENTRY_SIZE]) -> u32 {
    const FACTORS: [u64; 4] = [
        0xbf58_476d_1ce4_e5b9,
        0x94d0_49bb_1331_11eb,
        0xff51_afd7_ed55_8ccd,
        0xc4ce_b9fe_1a85_ec53,
    ];
    let word = |index: usize| Reader(&bytes[8 * index..]).u64();
    let sum = (word(0) >> 32)
        .wrapping_mul(FACTORS[0])
        .wrapping_add(word(1).wrapping_mul(FACTORS[1]))
        .wrapping_add(word(2).wrapping_mul(FACTORS[2]))
        .wrapping_add(word(3).wrapping_mul(FACTORS[3]));
    (sum >> 32) as u32
}

/// The part of a slot that only its owner, CHECK and collections look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Detail {
    /// Ties the detail to its entry.
    pub(crate) seq: u64,
    /// Ties the detail to its entry.
    pub(crate) address: IpAddr,
    /// Index of the set that the address was taken from.
    pub(crate) set: u8,
    pub(crate) since: SystemTime,
    pub(crate) owner: Owner,
    pub(crate) netns: Option<Netns>,
}

impl Detail {
    pub(crate) fn encode(&self) -> [u8; DETAIL_SIZE] {
        let since = self
            .since
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let (path, dev, inode) = self.netns.as_ref().map_or((&b""[..], 0, 0), |netns| {
            (netns.path.as_os_str().as_bytes(), netns.dev, netns.inode)
        });
        let mut out = Writer::<DETAIL_SIZE>::new();
        out.put(&[0; 4])
            .put(&self.seq.to_le_bytes())
            .put(&to_bytes(self.address));
        out.put(&since.to_le_bytes())
            .put(&dev.to_le_bytes())
            .put(&inode.to_le_bytes());
        out.put(&[self.set]);
        out.put_short(self.owner.container().as_bytes());
        out.put_short(self.owner.ifname().as_bytes());
        out.put_short(path);
        out.seal(0)
    }

    pub(crate) fn decode(bytes: &[u8; DETAIL_SIZE]) -> Option<Self> {
        if !sealed(bytes, 0) {
            return None;
        }
        let mut input = Reader(&bytes[4..]);
        let (seq, address) = (input.u64(), from_bytes(input.take()));
        let (since, dev, inode) = (input.u64(), input.u64(), input.u64());
        let [set] = input.take();
        let container = String::from_utf8(input.short()?.to_vec()).ok()?;
        let ifname = String::from_utf8(input.short()?.to_vec()).ok()?;
        let path = input.short()?;
        let netns = (!path.is_empty()).then(|| Netns {
            path: PathBuf::from(std::ffi::OsString::from_vec(path.to_vec())),
            dev,
            inode,
        });
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since))?;
        let owner = Owner::new(&container, &ifname).ok()?;
        Some(Self {
            seq,
            address,
            set,
            since,
            owner,
            netns,
        })
    }
}

/// Fills a buffer from the front; what would not fit was refused when it was parsed.
struct Writer<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Writer<N> {
    fn new() -> Self {
        Self {
            bytes: [0; N],
            used: 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
        self
    }

    /// One byte of length, then the bytes.
    fn put_short(&mut self, bytes: &[u8]) {
        let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.put(&[length]).put(&bytes[..length.into()]);
    }

    /// Writes the checksum at `at` and ends.
    fn seal(mut self, at: usize) -> [u8; N] {
        let crc = checksum(&self.bytes, at).to_le_bytes();
        self.bytes[at..at + 4].copy_from_slice(&crc);
        self.bytes
    }
}

/// CRC of all bytes but the four at `at`.
fn checksum(bytes: &[u8], at: usize) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..at]);
    hasher.update(&bytes[at + 4..]);
    hasher.finalize()
}

fn sealed(bytes: &[u8], at: usize) -> bool {
    bytes[at..at + 4] == checksum(bytes, at).to_le_bytes()
}

/// Takes from the front of a buffer that is long enough for all fields of fixed size.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let (head, rest) = self.0.split_at(N);
        out.copy_from_slice(head);
        self.0 = rest;
        out
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn short(&mut self) -> Option<&'a [u8]> {
        let (length, rest) = self.0.split_first()?;
        let (head, rest) = rest.split_at_checked((*length).into())?;
        self.0 = rest;
        Some(head)
    }
}

#[cfg(test)]
mod tests;
