//! Blocks of a thin pool's metadata, as `dm-thin-metadata.c` and `dm-btree-internal.h` of the kernel lay them
//! out: the superblock, and nodes of the trees that lead from a volume to its chunks. Little endian, 4 KiB
//! each, each with its own place and a CRC-32C over itself.

use std::io;

/// Bytes of a block (`THIN_METADATA_BLOCK_SIZE`).
pub(super) const BLOCK: usize = 4096;
/// Height that no tree has: a tree this high would have more entries than a key has values.
pub(super) const HIGHEST: u32 = 16;

const MAGIC: u64 = 27_022_010;
const VERSION: u32 = 2;
const SUPERBLOCK_SALT: u32 = 160_774;
const NODE_SALT: u32 = 121_107;
const NODE_HEADER: usize = 32;
const INTERNAL: u32 = 1;
const LEAF: u32 = 2;

/// What a reader of the metadata cannot go on with.
#[derive(Debug, thiserror::Error)]
pub(super) enum BlockError {
    /// The device does not give it.
    #[error("block {at} cannot be read: {source}")]
    Read {
        /// Which block.
        at: u64,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It does not follow the layout.
    #[error("block {at}: {what}")]
    Damaged {
        /// Which block.
        at: u64,
        /// What is wrong with it.
        what: String,
    },
}

impl BlockError {
    pub(super) fn damaged(at: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            at,
            what: what.into(),
        }
    }
}

/// Where the trees start (`struct thin_disk_superblock`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Superblock {
    /// Block of the copy that is kept for readers, if there is one.
    pub(super) held: Option<u64>,
    /// Root of the tree from a volume's number to the root of its own tree.
    pub(super) volumes: u64,
    /// Bytes of a chunk.
    pub(super) chunk: u64,
}

impl Superblock {
    /// The superblock, or the copy of it, that stands in block `at`.
    pub(super) fn parse(bytes: &[u8], at: u64) -> Result<Self, BlockError> {
        check(bytes, at, SUPERBLOCK_SALT)?;
        if long(bytes, 32) != MAGIC || word(bytes, 40) != VERSION {
            let what = format!(
                "is of kind {} and version {}; thin pools have {MAGIC} and {VERSION}",
                long(bytes, 32),
                word(bytes, 40)
            );
            return Err(BlockError::damaged(at, what));
        }
        let features = word(bytes, 360);
        if features != 0 {
            let what = format!("needs features {features:#x} that are not known");
            return Err(BlockError::damaged(at, what));
        }
        let sectors = word(bytes, 336);
        if sectors == 0 {
            return Err(BlockError::damaged(at, "chunks have no size"));
        }
        Ok(Self {
            held: Some(long(bytes, 56)).filter(|block| *block != 0),
            volumes: long(bytes, 320),
            chunk: u64::from(sectors) * 512,
        })
    }
}

/// A node of a tree (`struct btree_node`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Whether the values are those of the tree; otherwise they are blocks of nodes.
    pub(super) leaf: bool,
    /// Keys, ascending, with their values.
    pub(super) entries: Vec<(u64, u64)>,
}

impl Node {
    /// The node that stands in block `at`. Values have 8 bytes in all trees that are read here.
    pub(super) fn parse(bytes: &[u8], at: u64) -> Result<Self, BlockError> {
        check(bytes, at, NODE_SALT)?;
        let (kind, room, size) = (word(bytes, 4), word(bytes, 20), word(bytes, 24));
        let (count, room) = (word(bytes, 16) as usize, room as usize);
        if count > room || room > (BLOCK - NODE_HEADER) / 16 || size != 8 {
            let what = format!("{count} of {room} entries with values of {size} bytes");
            return Err(BlockError::damaged(at, what));
        }
        let leaf = match kind {
            INTERNAL if count > 0 => false,
            LEAF => true,
            _ => {
                let what = format!("a node of kind {kind} with {count} entries");
                return Err(BlockError::damaged(at, what));
            }
        };
        let entries: Vec<_> = (0..count)
            .map(|nth| {
                let key = NODE_HEADER + 8 * nth;
                (long(bytes, key), long(bytes, key + 8 * room))
            })
            .collect();
        if !entries.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(BlockError::damaged(at, "its keys do not ascend"));
        }
        Ok(Self { leaf, entries })
    }
}

fn check(bytes: &[u8], at: u64, salt: u32) -> Result<(), BlockError> {
    if bytes.len() != BLOCK {
        let what = format!("the device ends in it, after {} bytes", bytes.len());
        return Err(BlockError::damaged(at, what));
    }
    let (is, should) = (word(bytes, 0), crc32c(&bytes[4..]) ^ salt);
    if is != should {
        let what = format!("checksum {is:#010x}, by its content {should:#010x}");
        return Err(BlockError::damaged(at, what));
    }
    let place = long(bytes, 8);
    if place != at {
        let what = format!("says that it is block {place}");
        return Err(BlockError::damaged(at, what));
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let mut long = [0; 8];
    long.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(long)
}

/// CRC-32C as the kernel's `crc32c(~0, …)`: without the last inversion.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "less than 256")]
            let mut value = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                value = (value >> 1) ^ (0x82f6_3b78 & (value & 1).wrapping_neg());
                bit += 1;
            }
            table[byte] = value;
            byte += 1;
        }
        table
    };
    bytes.iter().fold(!0, |crc, byte| {
        TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)] ^ (crc >> 8)
    })
}

/// Writers of what is read here, for tests.
#[cfg(test)]
pub(super) mod write {
    use super::{BLOCK, INTERNAL, LEAF, MAGIC, NODE_HEADER, NODE_SALT, SUPERBLOCK_SALT, crc32c};

    pub(in super::super) fn sealed(mut bytes: Vec<u8>, at: u64, salt: u32) -> Vec<u8> {
        bytes.resize(BLOCK, 0);
        bytes[8..16].copy_from_slice(&at.to_le_bytes());
        let sum = crc32c(&bytes[4..]) ^ salt;
        bytes[..4].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(in super::super) fn superblock(at: u64, held: u64, volumes: u64, chunk: u32) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        bytes[32..40].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[40..44].copy_from_slice(&2_u32.to_le_bytes());
        bytes[56..64].copy_from_slice(&held.to_le_bytes());
        bytes[320..328].copy_from_slice(&volumes.to_le_bytes());
        bytes[336..340].copy_from_slice(&(chunk / 512).to_le_bytes());
        sealed(bytes, at, SUPERBLOCK_SALT)
    }

    pub(in super::super) fn node(at: u64, leaf: bool, entries: &[(u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK];
        let room = 252;
        let count = u32::try_from(entries.len()).expect("few");
        let kind = if leaf { LEAF } else { INTERNAL };
        for (place, value) in [(4, kind), (16, count), (20, 252), (24, 8)] {
            bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
        }
        for (nth, (key, value)) in entries.iter().enumerate() {
            let place = NODE_HEADER + 8 * nth;
            bytes[place..place + 8].copy_from_slice(&key.to_le_bytes());
            bytes[place + 8 * room..place + 8 * room + 8].copy_from_slice(&value.to_le_bytes());
        }
        sealed(bytes, at, NODE_SALT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(result: Result<impl std::fmt::Debug, BlockError>) -> String {
        result.expect_err("refused").to_string()
    }

    #[test]
    fn the_checksum_is_castagnolis_without_the_last_inversion() {
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(b""), u32::MAX);
    }

    #[test]
    fn a_superblock_tells_its_root_its_chunk_and_what_is_held() {
        let read = Superblock::parse(&write::superblock(0, 17, 5, 65536), 0).expect("whole");
        let expected = Superblock {
            held: Some(17),
            volumes: 5,
            chunk: 65536,
        };
        assert_eq!(read, expected);
        let read = Superblock::parse(&write::superblock(9, 0, 5, 65536), 9).expect("whole");
        assert_eq!(read.held, None);
    }

    #[test]
    fn a_node_tells_its_entries() {
        let entries = [(3, 30), (4, 40), (u64::MAX, 1)];
        let node = Node::parse(&write::node(7, true, &entries), 7).expect("whole");
        assert_eq!(node.entries, entries);
        assert!(node.leaf);
        assert!(
            Node::parse(&write::node(7, true, &[]), 7).is_ok(),
            "a volume without a chunk"
        );
    }

    #[test]
    fn what_does_not_follow_the_layout_is_refused_with_the_reason() {
        let good = write::superblock(0, 0, 5, 65536);
        assert_eq!(
            words(Superblock::parse(&good, 1)),
            "block 1: says that it is block 0"
        );
        assert_eq!(
            words(Superblock::parse(&good[..100], 0)),
            "block 0: the device ends in it, after 100 bytes"
        );
        let mut flipped = good.clone();
        flipped[320] ^= 1;
        assert!(words(Superblock::parse(&flipped, 0)).starts_with("block 0: checksum 0x"));
        let other = |place: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[place] = value;
            words(Superblock::parse(
                &write::sealed(bytes, 0, SUPERBLOCK_SALT),
                0,
            ))
        };
        assert_eq!(
            other(40, 1),
            "block 0: is of kind 27022010 and version 1; thin pools have 27022010 and 2"
        );
        assert_eq!(
            other(360, 4),
            "block 0: needs features 0x4 that are not known"
        );
        assert_eq!(other(336, 0), "block 0: chunks have no size");

        let node = |place: usize, value: u8| {
            let mut bytes = write::node(7, false, &[(3, 30), (4, 40)]);
            bytes[place] = value;
            words(Node::parse(&write::sealed(bytes, 7, NODE_SALT), 7))
        };
        assert_eq!(
            node(16, 253),
            "block 7: 253 of 252 entries with values of 8 bytes"
        );
        assert_eq!(
            node(20, 255),
            "block 7: 2 of 255 entries with values of 8 bytes"
        );
        assert_eq!(
            node(24, 24),
            "block 7: 2 of 252 entries with values of 24 bytes"
        );
        assert_eq!(node(4, 3), "block 7: a node of kind 3 with 2 entries");
        assert_eq!(node(16, 0), "block 7: a node of kind 1 with 0 entries");
        assert_eq!(node(32, 9), "block 7: its keys do not ascend");
    }

    #[test]
    fn any_bytes_are_parsed_or_refused() {
        bolero::check!()
            .with_type::<(Vec<u8>, u64, bool)>()
            .for_each(|(bytes, at, sealed)| {
                for salt in [SUPERBLOCK_SALT, NODE_SALT] {
                    let bytes = match sealed {
                        true => write::sealed(bytes.clone(), *at, salt),
                        false => bytes.clone(),
                    };
                    let _ = Superblock::parse(&bytes, *at);
                    let _ = Node::parse(&bytes, *at);
                }
            });
    }
}
