//! The binary part of LVM's format on a physical volume: label, header, header of the metadata area. Bytes
//! in, values out; layouts and names as in LVM's `lib/label/label.h` and `lib/format_text/layout.h`.

use std::ops::Range;

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Bytes of the header of a metadata area (`MDA_HEADER_SIZE`).
pub(crate) const AREA_HEADER: usize = 512;
/// `INITIAL_CRC`.
const INITIAL_CRC: u32 = 0xf597_a6cf;
/// `FMTT_MAGIC`.
const MAGIC: &[u8; 16] = b" LVM2 x[5A%r0N*>";
/// `RAW_LOCN_IGNORED`: the area is there, and not used.
const IGNORED: u32 = 1;
/// Metadata texts are this long at most: far above any that LVM manages.
const LONGEST_TEXT: u64 = 256 << 20;

/// What a label tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// Id of the physical volume, without dashes.
    pub(crate) pv: String,
    /// Bytes of the device when it was made.
    pub(crate) device_size: u64,
    /// Metadata areas: byte ranges of the device.
    pub(crate) areas: Vec<Range<u64>>,
}

/// Header of a metadata area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AreaHeader {
    /// Bytes of the whole area, header included.
    pub(crate) size: u64,
    /// The committed text, if the area is in use and has one.
    pub(crate) text: Option<TextPlace>,
    /// Whether the area is to be left alone.
    pub(crate) ignored: bool,
}

/// Where a text is in its area; it goes round at the area's end. It changes with every change of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TextPlace {
    /// From the start of the area.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// Checksum.
    pub(crate) checksum: u32,
}

/// What is wrong with bytes that claim to be LVM's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LabelError {
    #[error("the checksum of the {what} does not match")]
    Checksum { what: &'static str },
    #[error("the {what} is not one of LVM2: {found}")]
    Foreign { what: &'static str, found: String },
    #[error("the {what} points outside of the disk or of its area")]
    Outside { what: &'static str },
}

/// LVM's CRC-32: the usual polynomial with another start and no inversion.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(!INITIAL_CRC);
    for part in parts {
        hasher.update(part);
    }
    !hasher.finalize()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// The label in the first sectors of a device; `None`: the device is not a physical volume.
pub(crate) fn label(start: &[u8]) -> Result<Option<Label>, LabelError> {
    for (number, sector) in start.chunks_exact(SECTOR).take(4).enumerate() {
        if !sector.starts_with(b"LABELONE") || u64_at(sector, 8) != Some(number as u64) {
            continue;
        }
        if u32_at(sector, 16) != Some(checksum(&[&sector[20..]])) {
            return Err(LabelError::Checksum { what: "label" });
        }
        if &sector[24..32] != b"LVM2 001" {
            return Err(LabelError::Foreign {
                what: "label",
                found: String::from_utf8_lossy(&sector[24..32]).into_owned(),
            });
        }
        let outside = LabelError::Outside { what: "label" };
        let header = u32_at(sector, 20).ok_or_else(|| outside.clone())? as usize;
        return header_of(sector, header).ok_or(outside).map(Some);
    }
    Ok(None)
}

/// `struct pv_header`: id, size, data areas up to a zero, metadata areas up to a zero.
fn header_of(sector: &[u8], at: usize) -> Option<Label> {
    let pv = sector.get(at..at + 32)?;
    if !pv.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let device_size = u64_at(sector, at + 32)?;
    let mut next = at + 40;
    let mut list = || -> Option<Vec<Range<u64>>> {
        let mut areas = Vec::new();
        loop {
            let (offset, size) = (u64_at(sector, next)?, u64_at(sector, next + 8)?);
            next += 16;
            if offset == 0 {
                return Some(areas);
            }
            areas.push(offset..offset.checked_add(size)?);
        }
    };
    list()?;
    let areas = list()?;
    Some(Label {
        pv: String::from_utf8_lossy(pv).into_owned(),
        device_size,
        areas,
    })
}

/// The header of a metadata area that starts at byte `start` of the device.
pub(crate) fn area_header(bytes: &[u8], start: u64) -> Result<AreaHeader, LabelError> {
    let what = "header of the metadata area";
    let outside = LabelError::Outside { what };
    let header = bytes.get(..AREA_HEADER).ok_or_else(|| outside.clone())?;
    if u32_at(header, 0) != Some(checksum(&[&header[4..]])) {
        return Err(LabelError::Checksum { what });
    }
    let (version, at) = (u32_at(header, 20), u64_at(header, 24));
    if &header[4..20] != MAGIC || version != Some(1) {
        return Err(LabelError::Foreign {
            what,
            found: format!("version {}", version.unwrap_or_default()),
        });
    }
    let size = u64_at(header, 32).unwrap_or_default();
    if at != Some(start) || size <= AREA_HEADER as u64 {
        return Err(outside);
    }
    let place = TextPlace {
        offset: u64_at(header, 40).unwrap_or_default(),
        size: u64_at(header, 48).unwrap_or_default(),
        checksum: u32_at(header, 56).unwrap_or_default(),
    };
    let ignored = u32_at(header, 60).unwrap_or_default() & IGNORED != 0;
    if place.offset == 0 || place.size == 0 || ignored {
        let text = None;
        return Ok(AreaHeader {
            size,
            text,
            ignored,
        });
    }
    let inside = (AREA_HEADER as u64..size).contains(&place.offset)
        && place.size <= size - AREA_HEADER as u64
        && place.size <= LONGEST_TEXT;
    if !inside {
        return Err(outside);
    }
    Ok(AreaHeader {
        size,
        text: Some(place),
        ignored,
    })
}

impl AreaHeader {
    /// The pieces of a text from the start of the area: one, or two when it goes round.
    pub(crate) fn pieces(&self, place: TextPlace) -> (Range<u64>, Option<Range<u64>>) {
        let end = place.offset + place.size;
        if end <= self.size {
            return (place.offset..end, None);
        }
        let start = AREA_HEADER as u64;
        (
            place.offset..self.size,
            Some(start..start + end - self.size),
        )
    }

    /// Bytes that one text may have: LVM keeps the old one until the new one is there.
    pub(crate) fn room(&self) -> u64 {
        (self.size - AREA_HEADER as u64) / 2
    }
}

/// The text made of its pieces, checked, without the zero at its end.
pub(crate) fn text(place: TextPlace, bytes: &[u8]) -> Result<&[u8], LabelError> {
    let what = "metadata text";
    if bytes.len() as u64 != place.size {
        return Err(LabelError::Outside { what });
    }
    if checksum(&[bytes]) != place.checksum {
        return Err(LabelError::Checksum { what });
    }
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    Ok(&bytes[..end])
}

#[cfg(test)]
mod tests;
