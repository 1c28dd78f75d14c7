//! Recognises signatures in what a reader hands out; no device here.

use std::io;
use std::str::FromStr;

use super::magic::{LUKS2_SECOND, MD, OTHERS, SWAP, SWAP_PAGES};
use super::{Kind, Signature};
use crate::uuid::Uuid;

/// Any byte of this much at the start counts.
const START: usize = 4096;
/// What is read there at once; every place below is found in it.
const HEAD: usize = 144 << 10;

/// Reads so many bytes at an offset, all of them.
pub(crate) type Read<'a> = dyn FnMut(u64, usize) -> io::Result<Vec<u8>> + 'a;

/// All signatures of a device of this size, in the order in which they are looked for.
pub(crate) fn recognise(read: &mut Read<'_>, size: u64) -> io::Result<Vec<Signature>> {
    let length = usize::try_from(size).unwrap_or(HEAD).min(HEAD);
    let head = Bytes(read(0, length)?);
    let mut found = Vec::new();
    found.extend(ext(&head));
    found.extend(xfs(&head));
    found.extend(btrfs(&head));
    found.extend(luks(&head));
    found.extend(lvm(&head));
    found.extend(swap(&head));
    found.extend(partitions(&head));
    for place in OTHERS {
        if head.at(place.offset, place.bytes.len()) == Some(place.bytes) {
            found.push(Signature::new(
                Kind::Other(place.name.to_owned()),
                place.offset,
            ));
        }
    }
    for (offset, bytes) in elsewhere(size) {
        if let Some(length) = usize::try_from(size - offset)
            .ok()
            .map(|rest| rest.min(bytes))
        {
            found.extend(at_a_place(offset, size, &Bytes(read(offset, length)?)));
        }
    }
    if found.is_empty()
        && let Some(offset) = head.0.iter().take(START).position(|byte| *byte != 0)
    {
        found.push(Signature::new(Kind::Unknown, offset as u64));
    }
    Ok(found)
}

/// Bytes of which any part may be missing.
struct Bytes(Vec<u8>);

impl Bytes {
    fn at(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        self.0.get(start..start.checked_add(length)?)
    }

    fn is(&self, offset: u64, bytes: &[u8]) -> bool {
        self.at(offset, bytes.len()) == Some(bytes)
    }

    fn uuid(&self, offset: u64) -> Option<Uuid> {
        Uuid::stored(self.at(offset, 16)?)
    }

    fn u32_le(&self, offset: u64) -> Option<u32> {
        Some(u32::from_le_bytes(self.at(offset, 4)?.try_into().ok()?))
    }
}

/// `struct ext4_super_block` at 1024: magic at 0x38, UUID at 0x68.
fn ext(head: &Bytes) -> Option<Signature> {
    head.is(0x438, &[0x53, 0xef])
        .then(|| Signature::new(Kind::Ext, 1024).with(head.uuid(0x468)))
}

/// `struct xfs_dsb` at 0; what mkfs writes before it has finished: `sb_inprogress`, or the headers of
/// the first allocation group (one in each of the following sectors) with the same UUID.
fn xfs(head: &Bytes) -> Option<Signature> {
    if head.is(0, b"XFSB") {
        let complete = head.at(126, 1) == Some(&[0]);
        let whole = Signature::new(Kind::Xfs, 0).with(head.uuid(32));
        return Some(Signature { complete, ..whole });
    }
    let pieces: [(u64, &[u8], u64); 3] = [(1, b"XAGF", 64), (2, b"XAGI", 296), (3, b"XAFL", 8)];
    [512, 4096]
        .into_iter()
        .flat_map(|sector| pieces.map(|piece| (sector, piece)))
        .find_map(|(sector, (number, magic, uuid))| {
            let offset = sector * number;
            let piece = Signature::new(Kind::Xfs, offset).with(head.uuid(offset + uuid));
            head.is(offset, magic).then_some(Signature {
                complete: false,
                ..piece
            })
        })
}

/// `struct btrfs_super_block` at 64 KiB; `mkfs.btrfs` writes its magic with `!` until it has finished.
fn btrfs(head: &Bytes) -> Option<Signature> {
    let magic = head.at(0x1_0040, 8)?;
    let complete = magic == b"_BHRfS_M";
    let whole = Signature::new(Kind::Btrfs, 0x1_0000).with(head.uuid(0x1_0020));
    (complete || magic == b"!BHRfS_M").then_some(Signature { complete, ..whole })
}

/// LUKS1 and LUKS2 keep version and UUID (as text) at the same places.
fn luks(head: &Bytes) -> Option<Signature> {
    if head.is(0, b"LUKS\xba\xbe") {
        let version = u16::from_be_bytes(head.at(6, 2)?.try_into().ok()?);
        return Some(Signature::new(Kind::Luks { version }, 0).with(luks_uuid(head)));
    }
    second_luks(head, 0)
}

fn second_luks(bytes: &Bytes, base: u64) -> Option<Signature> {
    LUKS2_SECOND
        .into_iter()
        .filter_map(|offset| Some((offset, offset.checked_sub(base)?)))
        .find_map(|(offset, place)| {
            let second = Signature::new(Kind::Luks { version: 2 }, offset);
            bytes.is(place, b"SKUL\xba\xbe").then_some(Signature {
                complete: false,
                ..second
            })
        })
}

fn luks_uuid(head: &Bytes) -> Option<Uuid> {
    let text = head.at(168, 40)?.split(|byte| *byte == 0).next()?;
    Uuid::from_str(std::str::from_utf8(text).ok()?).ok()
}

/// LVM's label is in one of the first four sectors of 512 bytes.
fn lvm(head: &Bytes) -> Option<Signature> {
    (0..4)
        .map(|sector| sector * 512)
        .find(|offset| head.is(*offset, b"LABELONE"))
        .map(|offset| Signature::new(Kind::LvmPv, offset))
}

fn swap(head: &Bytes) -> Option<Signature> {
    let place = SWAP_PAGES
        .into_iter()
        .map(|page| page - 10)
        .find(|place| SWAP.into_iter().any(|magic| head.is(*place, magic)))?;
    Some(Signature::new(Kind::Swap, place).with(head.uuid(1024 + 12)))
}

/// GPT stands in the second sector, whatever its size; a boot sector ends with 55 AA.
fn partitions(head: &Bytes) -> Vec<Signature> {
    let gpt = [512, 4096]
        .into_iter()
        .find(|offset| head.is(*offset, b"EFI PART"));
    let mut found: Vec<_> = gpt
        .into_iter()
        .map(|offset| Signature::new(Kind::Gpt, offset))
        .collect();
    if head.is(510, &[0x55, 0xaa]) {
        found.push(Signature::new(Kind::Mbr, 510));
    }
    found.extend(
        [0, 4096]
            .into_iter()
            .filter(|offset| head.u32_le(*offset) == Some(MD))
            .map(md),
    );
    found
}

fn md(offset: u64) -> Signature {
    Signature::new(Kind::Md, offset)
}

/// Places outside the head: (offset, how much to read), all inside the device.
fn elsewhere(size: u64) -> Vec<(u64, usize)> {
    let mut places: Vec<(u64, usize)> = LUKS2_SECOND
        .into_iter()
        .map(|offset| (offset, 512))
        .collect();
    // md 1.0: 8 KiB before the end, at a multiple of 4 KiB; 0.90: the last whole 64 KiB.
    places.extend(
        (size / 512)
            .checked_sub(16)
            .map(|sector| ((sector & !7) * 512, 512)),
    );
    places.extend(
        (size & !0xffff)
            .checked_sub(0x1_0000)
            .map(|offset| (offset, 512)),
    );
    // GPT's second header.
    places.extend(
        [512, 4096]
            .into_iter()
            .filter_map(|sector| Some(((size / sector).checked_sub(1)? * sector, 512))),
    );
    places.retain(|(offset, _)| *offset < size && *offset >= START as u64);
    places
}

fn at_a_place(offset: u64, size: u64, bytes: &Bytes) -> Vec<Signature> {
    let mut found = Vec::new();
    let near_the_end = size - offset <= 0x2_0000;
    let magic = bytes.u32_le(0);
    if near_the_end && (magic == Some(MD) || magic == Some(MD.swap_bytes())) {
        found.push(md(offset));
    }
    if near_the_end && bytes.is(0, b"EFI PART") {
        found.push(Signature::new(Kind::Gpt, offset));
    }
    // The nearer copies are part of the head already.
    if offset >= HEAD as u64 {
        found.extend(second_luks(bytes, offset));
    }
    found
}
