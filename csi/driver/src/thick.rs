//! Thick volumes: room, creation and growth, always with zeros where nothing was written.
//!
//! What earlier volumes left on free extents must not be read through a new one. So new extents are zeroed
//! before a CO hears of them:
//!
//! - a new volume is tagged `making` until it is zeroed;
//! - growth of a linear or striped volume allocates the new extents as a volume of its own, tagged `making`,
//!   zeroes it, removes it, and extends the volume onto the very same ranges;
//! - a raid grows at its own legs' places, so its new end is zeroed right after `lvextend`, before the call
//!   answers. A crash between both leaves old content at the end of a volume that nobody grew into yet.

use std::collections::BTreeSet;

use fairlead_csi_lvm::{Command, Kind as LvKind, Lv, PvRange, Vg};
use fairlead_csi_mount::zero;
use fairlead_csi_volume::{Chosen, Kind, Layout, PvSpace, Record, Space};

use crate::config::Class;
use crate::controller::create::{again, named};
use crate::controller::delete::retag;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::node::{activate, deactivate};
use crate::{place, pool};

/// The free extents of a group. Where thin pools are, the class's reserve is theirs.
pub(crate) fn space(class: &Class, vg: &Vg) -> Space {
    let pools = vg
        .lvs
        .iter()
        .any(|lv| matches!(lv.layout, fairlead_csi_lvm::Layout::ThinPool { .. }));
    let reserved = if pools {
        class.reserve.of(vg.extents() * vg.extent_size) / vg.extent_size
    } else {
        0
    };
    let pvs = vg.pvs.iter().map(|pv| PvSpace {
        free: if pv.free_extents() == 0 {
            Vec::new()
        } else {
            pv.free
                .iter()
                .map(|range| range.end - range.start)
                .collect()
        },
    });
    Space {
        extent_size: vg.extent_size,
        pvs: pvs.collect(),
        reserved,
    }
}

/// That so many extents are left for a linear volume beside `origin`.
pub(crate) fn room(shared: &Shared, origin: &Found, extents: u64) -> Result<(), DriverError> {
    let class = place::class_of(&shared.config, origin)?;
    let group = shared.groups.by_id(&origin.vg().uuid)?;
    space(class, &group.vg)
        .place(&Layout::Linear, extents)
        .map(|_| ())
        .map_err(pool::no_room)
}

/// Makes a volume, active, with whatever the extents held before.
pub(crate) fn create(
    shared: &Shared,
    class: &Class,
    record: &Record,
    chosen: &Chosen,
) -> Result<Found, DriverError> {
    let layout = &record.parameters.layout;
    let (tags, group) = (record.tags()?, shared.groups.named(&class.vg)?);
    shared.groups.change(&group.vg.uuid, || {
        let group = shared.groups.named(&class.vg)?;
        let pvs = space(class, &group.vg)
            .place(layout, chosen.extents)
            .map_err(pool::no_room)?;
        let on = ranges(&group.vg, &pvs);
        named(shared, &group, Kind::Volume, |name| Command::CreateThick {
            name,
            extents: chosen.extents,
            kind: kind(layout),
            on: on.clone(),
            active: true,
            tags: tags.clone(),
        })
    })
}

/// Fills a volume that is being made with zeros, and ends its making. It stays active: it is staged next, and a raid's legs
/// come together meanwhile.
pub(crate) fn zeroed(shared: &Shared, found: &Found) -> Result<Found, DriverError> {
    activate(shared, found)?;
    let device = found.vg().device(found.lv());
    zero(&device, 0, found.vg().bytes(found.lv()))?;
    made(shared, found)
}

/// A volume that was being made is whole: it loses its tag.
pub(crate) fn made(shared: &Shared, found: &Found) -> Result<Found, DriverError> {
    let record = Record {
        making: false,
        ..(*found.record).clone()
    };
    retag(shared, found, &record)?;
    again(shared, &shared.groups.by_id(&found.vg().uuid)?, found)
}

/// Grows a volume to so many extents; what is new reads as zeros.
pub(crate) fn grow(shared: &Shared, found: &Found, extents: u64) -> Result<Found, DriverError> {
    let id = found.vg().uuid;
    let class = place::class_of(&shared.config, found)?;
    let more = extents.saturating_sub(found.lv().extents);
    let layout = &found.record.parameters.layout;
    let fits = || {
        let group = shared.groups.by_id(&id)?;
        let legs = legs(&group.vg, found.lv());
        let room = space(class, &group.vg).growth(layout, &legs);
        if more > room {
            return Err(DriverError::NoRoom {
                why: format!(
                    "volume {} can grow by {} bytes, {} are asked",
                    found.id(),
                    room * group.vg.extent_size,
                    more * group.vg.extent_size
                ),
            });
        }
        Ok((group, legs))
    };
    let extend = |on| Command::Extend {
        lv: found.lv().uuid,
        to_extents: extents,
        on,
    };
    if matches!(layout, Layout::Raid1 { .. } | Layout::Raid5 { .. }) {
        let vg = shared.groups.change(&id, || {
            let (group, legs) = fits()?;
            Ok(shared.lvm.run(&id, &extend(ranges(&group.vg, &legs)))?)
        })?;
        let grown = again(shared, &shared.groups.read(vg), found)?;
        return zeroed_end(shared, found, grown);
    }
    let part = shared.groups.change(&id, || {
        let (group, legs) = fits()?;
        let record = Record {
            making: true,
            wanted: more * group.vg.extent_size,
            ..(*found.record).clone()
        };
        let tags = record.tags()?;
        let on = match layout {
            Layout::Linear => Vec::new(),
            _ => ranges(&group.vg, &legs),
        };
        named(shared, &group, Kind::Volume, |name| Command::CreateThick {
            name,
            extents: more,
            kind: kind(layout),
            on: on.clone(),
            active: true,
            tags: tags.clone(),
        })
    })?;
    let device = part.vg().device(part.lv());
    let zeroed = zero(&device, 0, part.vg().bytes(part.lv())).map_err(DriverError::from);
    shared.groups.change(&id, || {
        let lvs = vec![part.lv().uuid];
        shared.lvm.run(&id, &Command::Remove { lvs })?;
        zeroed?;
        let vg = shared.lvm.run(&id, &extend(areas(part.vg(), part.lv())))?;
        again(shared, &shared.groups.read(vg), found)
    })
}

/// Zeroes what a raid has got in addition.
fn zeroed_end(shared: &Shared, before: &Found, grown: Found) -> Result<Found, DriverError> {
    let was_active = activate(shared, &grown)?;
    let start = before.vg().bytes(before.lv());
    let device = grown.vg().device(grown.lv());
    zero(&device, start, grown.vg().bytes(grown.lv()) - start)?;
    if !was_active {
        deactivate(shared, &grown)?;
    }
    Ok(grown)
}

/// All extents of the physical volumes with these places in the group.
fn ranges(vg: &Vg, pvs: &[usize]) -> Vec<PvRange> {
    pvs.iter()
        .map(|index| &vg.pvs[*index])
        .map(|pv| PvRange {
            pv: pv.uuid.clone(),
            start: 0,
            extents: pv.extents,
        })
        .collect()
}

/// The extents that a volume lies on.
fn areas(vg: &Vg, lv: &Lv) -> Vec<PvRange> {
    lv.areas
        .iter()
        .filter_map(|(name, range)| {
            let pv = vg.pvs.iter().find(|pv| pv.name == *name)?;
            Some(PvRange {
                pv: pv.uuid.clone(),
                start: range.start,
                extents: range.end - range.start,
            })
        })
        .collect()
}

/// The physical volumes that a volume and its parts lie on, by their place in the group.
fn legs(vg: &Vg, lv: &Lv) -> Vec<usize> {
    let parts = lv.parts.iter().filter_map(|name| vg.lv_named(name));
    let names: BTreeSet<&str> = parts
        .flat_map(|part| {
            let below = part.parts.iter().filter_map(|name| vg.lv_named(name));
            below.chain([part])
        })
        .chain([lv])
        .flat_map(|lv| lv.areas.iter().map(|(name, _)| name.as_str()))
        .collect();
    (0..vg.pvs.len())
        .filter(|index| names.contains(vg.pvs[*index].name.as_str()))
        .collect()
}

/// LVM's words for a layout.
fn kind(layout: &Layout) -> LvKind {
    match layout {
        Layout::Thin { .. } | Layout::Linear => LvKind::Linear,
        Layout::Striped { stripes, .. } => LvKind::Striped { stripes: *stripes },
        Layout::Raid1 { integrity } => LvKind::Raid1 {
            mirrors: 1,
            integrity: *integrity,
        },
        Layout::Raid5 {
            stripes, integrity, ..
        } => LvKind::Raid5 {
            stripes: *stripes,
            integrity: *integrity,
        },
    }
}
