//! What one disk says: whose physical volume it is, and which text is committed on it.

use std::time::Duration;

use crate::disk::Disk;
use crate::label::{self, AREA_HEADER, AreaHeader, LabelError};
use crate::{LvmError, Result};

/// Label and header of the metadata area of a disk as `pvcreate` lays them out.
const START: usize = 8192;
/// Reads of what is being written in the same moment.
const TRIES: u32 = 4;

/// A disk's label and the headers of its metadata areas. As long as it is the same, the texts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Id of the physical volume.
    pub(crate) pv: String,
    /// Start of each metadata area and its header; `None` where it is damaged.
    pub(crate) areas: Vec<(u64, Option<AreaHeader>)>,
}

/// Reads the mark of a disk; `None`: not a physical volume.
pub(crate) fn mark(disk: &Disk, deadline: Duration) -> Result<Option<Mark>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt(disk, deadline) {
            Ok(Some(mark))
                if tries < TRIES && mark.areas.iter().any(|(_, header)| header.is_none()) => {}
            Err(LvmError::Damaged { .. }) if tries < TRIES => {}
            result => return result,
        }
    }
}

fn attempt(disk: &Disk, deadline: Duration) -> Result<Option<Mark>> {
    let start = read(disk, 0, START, deadline)?;
    let Some(label) = label::label(&start).map_err(damaged(disk))? else {
        return Ok(None);
    };
    let mut areas = Vec::new();
    for area in label.areas {
        let at = usize::try_from(area.start).unwrap_or(usize::MAX);
        let inside = start.get(at..at.saturating_add(AREA_HEADER));
        let header = if let Some(header) = inside {
            label::area_header(header, area.start)
        } else {
            let header = read(disk, area.start, AREA_HEADER, deadline)?;
            label::area_header(&header, area.start)
        };
        areas.push((area.start, header.ok()));
    }
    Ok(Some(Mark {
        pv: label.pv,
        areas,
    }))
}

/// The committed text of an area. It is checked: a text that is replaced meanwhile is refused.
pub(crate) fn text(
    disk: &Disk,
    start: u64,
    header: &AreaHeader,
    deadline: Duration,
) -> Result<Option<Vec<u8>>> {
    let Some(place) = header.text else {
        return Ok(None);
    };
    let (first, second) = header.pieces(place);
    let mut bytes = Vec::new();
    for piece in std::iter::once(first).chain(second) {
        let len = usize::try_from(piece.end - piece.start).unwrap_or_default();
        bytes.extend(read(disk, start + piece.start, len, deadline)?);
    }
    let checked = label::text(place, &bytes).map_err(damaged(disk))?.len();
    bytes.truncate(checked);
    Ok(Some(bytes))
}

fn read(disk: &Disk, offset: u64, len: usize, deadline: Duration) -> Result<Vec<u8>> {
    disk.read(offset, len, deadline)
        .map_err(LvmError::io("read", disk.path()))
}

fn damaged(disk: &Disk) -> impl FnOnce(LabelError) -> LvmError {
    let device = disk.path().display().to_string();
    move |error| LvmError::Damaged {
        device,
        reason: error.to_string(),
    }
}
