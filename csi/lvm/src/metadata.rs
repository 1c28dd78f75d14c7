//! LVM's metadata text as a [`Vg`]: names, segments and flags as in LVM's `lib/format_text/import_vsn1.c`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::free::gaps;
use crate::kept::Kept;
use crate::text::{Section, TextError, Value};
use crate::{Layout, Lv, LvUuid, MetadataArea, PoolMessage, Pv, Vg, VgUuid, WhenFull};

const SECTOR: u64 = 512;
/// The section of logical volumes.
const VOLUMES: &str = "logical_volumes";

/// A volume group and what decides on whether it may be used.
#[derive(Debug)]
pub(crate) struct Described {
    /// The volume group; its physical volumes have no devices yet.
    pub(crate) vg: Vg,
    /// Its owner, empty when it has none.
    pub(crate) system_id: String,
    /// Whether it is exported.
    pub(crate) exported: bool,
    /// Its lock manager, if it is shared.
    pub(crate) lock_type: Option<String>,
    /// Physical volumes that LVM has given up: a disk with such an id does not count.
    pub(crate) given_up: BTreeSet<String>,
    /// What the next reading of the group can have from this one.
    pub(crate) kept: Kept,
}

/// Why a text does not describe a volume group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MetadataError {
    #[error("the text does not parse: {0}")]
    Text(#[from] TextError),
    #[error("{what} has no {key} that makes sense")]
    Missing { what: String, key: &'static str },
    #[error("this is not the metadata of one volume group")]
    NotOne,
}

fn missing(what: &str, key: &'static str) -> MetadataError {
    MetadataError::Missing {
        what: what.to_owned(),
        key,
    }
}

/// Reads a whole text; `before` is the last one of the same group, if any.
pub(crate) fn describe(text: Vec<u8>, before: Option<&Kept>) -> Result<Described, MetadataError> {
    let (root, places) = Section::parse_around(&text, VOLUMES)?;
    let [(name, vg)] = root.sections.as_slice() else {
        return Err(MetadataError::NotOne);
    };
    let number = |key| vg.number(key).ok_or_else(|| missing(name, key));
    let empty = Section::default();
    let mut given_up = BTreeSet::new();
    let mut pvs = Vec::new();
    for (pv_name, section) in &vg.section("physical_volumes").unwrap_or(&empty).sections {
        let pv = physical(pv_name, section)?;
        if flags(section).contains("MISSING") {
            given_up.insert(pv.uuid.clone());
        }
        pvs.push(pv);
    }
    let status = flags(vg);
    let lock_type = vg
        .text("lock_type")
        .filter(|lock| !matches!(*lock, "" | "none"))
        .map(str::to_owned)
        .or_else(|| status.contains("CLUSTERED").then(|| "clvm".to_owned()));
    let kept = Kept::read(text, places, &pvs, before)?;
    let mut lvs = kept.volumes();
    integrity(&mut lvs);
    let mut used: HashMap<&str, Vec<Range<u64>>> = HashMap::new();
    for (pv, range) in lvs.iter().flat_map(|lv| &lv.areas) {
        used.entry(pv).or_default().push(range.clone());
    }
    for pv in &mut pvs {
        pv.free = gaps(
            used.remove(pv.name.as_str()).unwrap_or_default(),
            pv.extents,
        );
    }
    let described = Described {
        vg: Vg {
            name: name.clone(),
            uuid: vg
                .text("id")
                .and_then(|id| id.parse::<VgUuid>().ok())
                .ok_or_else(|| missing(name, "id"))?,
            seqno: number("seqno")?,
            extent_size: number("extent_size")?.saturating_mul(SECTOR),
            tags: tags(vg),
            pvs,
            lvs,
            metadata_area: MetadataArea::default(),
        },
        system_id: vg.text("system_id").unwrap_or_default().to_owned(),
        exported: status.contains("EXPORTED"),
        lock_type,
        given_up,
        kept,
    };
    countable(&described.vg)?;
    Ok(described)
}

/// Extents are counted in 32 bits, and no group or volume has 16 EiB: whoever computes with sizes need not look.
fn countable(vg: &Vg) -> Result<(), MetadataError> {
    let all = vg.lvs.iter().map(|lv| lv.extents);
    let all = all.chain(vg.pvs.iter().map(|pv| pv.extents));
    if all.clone().any(|extents| extents > u64::from(u32::MAX)) {
        return Err(missing(&vg.name, "count of extents"));
    }
    let most = all.max().unwrap_or_default().max(vg.extents());
    match most.checked_mul(vg.extent_size) {
        Some(_) => Ok(()),
        None => Err(missing(&vg.name, "extent_size")),
    }
}

/// `status` and `flags`: what old and new versions know.
fn flags(section: &Section) -> BTreeSet<&str> {
    let mut all: BTreeSet<_> = section.texts("status").into_iter().collect();
    all.extend(section.texts("flags"));
    all
}

fn tags(section: &Section) -> BTreeSet<String> {
    section
        .texts("tags")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn physical(name: &str, section: &Section) -> Result<Pv, MetadataError> {
    let number = |key| section.number(key).ok_or_else(|| missing(name, key));
    let uuid = section.text("id").ok_or_else(|| missing(name, "id"))?;
    Ok(Pv {
        uuid: uuid.replace('-', ""),
        name: name.to_owned(),
        device: section.text("device").map(PathBuf::from),
        extents: number("pe_count")?,
        allocatable: flags(section).contains("ALLOCATABLE"),
        free: Vec::new(),
        start: number("pe_start")?.saturating_mul(SECTOR),
        tags: tags(section),
    })
}

/// Whether integrity is below a raid stands with its parts.
fn integrity(lvs: &mut [Arc<Lv>]) {
    let below: BTreeSet<String> = lvs
        .iter()
        .filter(|lv| lv.layout == Layout::Other("integrity".into()))
        .map(|lv| lv.name.clone())
        .collect();
    for lv in lvs
        .iter_mut()
        .filter(|lv| lv.parts.iter().any(|part| below.contains(part)))
    {
        let lv = Arc::make_mut(lv);
        if let Layout::Raid1 { integrity, .. } | Layout::Raid5 { integrity, .. } = &mut lv.layout {
            *integrity = true;
        }
    }
}

pub(crate) fn segments(lv: &Section) -> Vec<&Section> {
    lv.sections
        .iter()
        .filter(|(name, _)| name.starts_with("segment"))
        .map(|(_, segment)| segment)
        .collect()
}

pub(crate) fn volume(name: &str, lv: &Section, segments: &[&Section]) -> Result<Lv, MetadataError> {
    let flags = flags(lv);
    let mut extents: u64 = 0;
    let mut areas = Vec::new();
    let mut parts = Vec::new();
    for segment in segments {
        let count = segment
            .number("extent_count")
            .ok_or_else(|| missing(name, "extent_count"))?;
        extents = extents.saturating_add(count);
        areas_of(segment, count, &mut areas, &mut parts);
    }
    Ok(Lv {
        name: name.to_owned(),
        uuid: lv
            .text("id")
            .and_then(|id| id.parse::<LvUuid>().ok())
            .ok_or_else(|| missing(name, "id"))?,
        extents,
        tags: tags(lv),
        layout: layout(segments, &flags),
        visible: flags.contains("VISIBLE"),
        writable: flags.contains("WRITE"),
        skip_activation: flags.contains("ACTIVATION_SKIP"),
        created: lv.number("creation_time").filter(|time| *time > 0),
        partial: false,
        areas,
        parts,
    })
}

/// Extents of physical volumes and names of volumes that a segment lies on.
fn areas_of(
    segment: &Section,
    count: u64,
    areas: &mut Vec<(String, Range<u64>)>,
    parts: &mut Vec<String>,
) {
    let stripes = segment.number("stripe_count").unwrap_or(1).max(1);
    for (key, each) in [("stripes", count / stripes), ("mirrors", count)] {
        let Some(Value::List(list)) = segment.get(key) else {
            continue;
        };
        for pair in list.chunks(2) {
            if let [Value::Text(on), Value::Number(start)] = pair {
                let start = u64::try_from(*start).unwrap_or_default();
                // Names of volumes may stand here too; the caller moves them to the parts.
                areas.push((on.clone(), start..start.saturating_add(each)));
            }
        }
    }
    parts.extend(segment.texts("raids").into_iter().map(str::to_owned));
    for key in [
        "thin_pool",
        "pool",
        "metadata",
        "external_origin",
        "cache_pool",
        "origin",
        "meta_dev",
        "writecache",
        "vdo_pool",
        "log_device",
    ] {
        let thin_origin = key == "origin" && segment.get("thin_pool").is_some();
        parts.extend(
            segment
                .text(key)
                .filter(|_| !thin_origin)
                .map(str::to_owned),
        );
    }
}

fn layout(segments: &[&Section], flags: &BTreeSet<&str>) -> Layout {
    let Some(first) = segments.first() else {
        return Layout::Other("none".to_owned());
    };
    let full = first.text("type").unwrap_or_default();
    // "thin+crop": what follows a plus are flags of the segment.
    let kind = full.split('+').next().unwrap_or_default();
    let count = |key| {
        let count = first.number(key).unwrap_or_default();
        u32::try_from(count).unwrap_or_default()
    };
    let same = segments.iter().all(|segment| {
        segment.text("type") == Some(full)
            && segment.number("stripe_count") == first.number("stripe_count")
    });
    match kind {
        _ if !same => Layout::Other(format!("mixed {full}")),
        "striped" | "linear" => match count("stripe_count") {
            0 | 1 => Layout::Linear,
            stripes => Layout::Striped { stripes },
        },
        "raid1" => Layout::Raid1 {
            copies: count("device_count"),
            integrity: false,
        },
        kind if kind == "raid5" || kind.starts_with("raid5_") => Layout::Raid5 {
            stripes: count("device_count").saturating_sub(1),
            integrity: false,
        },
        "thin" => Layout::Thin {
            pool: first.text("thin_pool").unwrap_or_default().to_owned(),
            origin: first.text("origin").map(str::to_owned),
            device_id: count("device_id"),
        },
        "thin-pool" => Layout::ThinPool {
            data: first.text("pool").unwrap_or_default().to_owned(),
            metadata: first.text("metadata").unwrap_or_default().to_owned(),
            chunk: first
                .number("chunk_size")
                .unwrap_or_default()
                .saturating_mul(SECTOR),
            when_full: if flags.contains("ERROR_WHEN_FULL") {
                WhenFull::Error
            } else {
                WhenFull::Queue
            },
            zero: first.number("zero_new_blocks") == Some(1),
            transaction_id: first.number("transaction_id").unwrap_or_default(),
            messages: messages(first),
        },
        _ => Layout::Other(full.to_owned()),
    }
}

/// `message1 { create = "vol" }`, `message2 { delete = 7 }` in the segment of a thin pool.
fn messages(pool: &Section) -> Vec<PoolMessage> {
    let all = pool.sections.iter().filter_map(|(_, message)| {
        let id = message.number("delete").and_then(|id| id.try_into().ok());
        let create = message.text("create").map(str::to_owned);
        create
            .map(PoolMessage::Create)
            .or(id.map(PoolMessage::Delete))
    });
    all.collect()
}

/// Puts the devices that were found into the group, and tells which volumes lack a part.
pub(crate) fn place(described: &mut Described, devices: &HashMap<String, PathBuf>) {
    let vg = &mut described.vg;
    for pv in &mut vg.pvs {
        pv.device = devices
            .get(&pv.uuid)
            .filter(|_| !described.given_up.contains(&pv.uuid))
            .cloned();
    }
    let lost: BTreeSet<String> = vg
        .pvs
        .iter()
        .filter(|pv| pv.device.is_none())
        .map(|pv| pv.name.clone())
        .collect();
    if lost.is_empty() {
        return;
    }
    let mut partial: BTreeSet<String> = vg
        .lvs
        .iter()
        .filter(|lv| lv.areas.iter().any(|(on, _)| lost.contains(on)))
        .map(|lv| lv.name.clone())
        .collect();
    loop {
        let before = partial.len();
        for lv in &vg.lvs {
            let origin = match &lv.layout {
                Layout::CowSnapshot { origin } => Some(origin),
                _ => None,
            };
            let mut below = lv.parts.iter().chain(origin);
            if below.any(|part| partial.contains(part)) {
                partial.insert(lv.name.clone());
            }
        }
        if partial.len() == before {
            break;
        }
    }
    for lv in vg.lvs.iter_mut().filter(|lv| partial.contains(&lv.name)) {
        Arc::make_mut(lv).partial = true;
    }
}
