//! Commands as LVM takes them. Sizes are in extents or KiB, volumes by the names that they have now.

use std::collections::BTreeSet;

use crate::{Command, Kind, Layout, Lv, LvUuid, LvmError, PvRange, Result, Vg, WhenFull};

/// Volumes that one [`Command::Remove`] removes at most: LVM's library takes 64 words.
pub const MOST_REMOVED: usize = 40;
const KIB: u64 = 1024;

/// The words of a command.
pub(crate) fn argv(vg: &Vg, command: &Command) -> Result<Vec<String>> {
    Ok(match command {
        Command::Extend { lv, to_extents, on } => {
            let mut words = split(&format!("lvextend -y -l{to_extents} {}", path(vg, lv)?));
            words.extend(ranges(vg, on)?);
            words
        }
        Command::ExtendPool { pool, to_extents } => {
            split(&format!("lvextend -y -l{to_extents} {}", path(vg, pool)?))
        }
        Command::ExtendPoolMetadata { pool, to_extents } => {
            let size = to_extents * vg.extent_size / KIB;
            split(&format!(
                "lvextend -y --poolmetadatasize={size}k {}",
                path(vg, pool)?
            ))
        }
        Command::SetWhenFull { pool, when_full } => split(&format!(
            "lvchange -y --errorwhenfull={} {}",
            yes(*when_full == WhenFull::Error),
            path(vg, pool)?
        )),
        Command::Remove { lvs } => remove(vg, lvs)?,
        Command::Retag { lv, add, remove } => {
            let mut words = split("lvchange -y");
            words.extend(tagged("--addtag", add)?);
            words.extend(tagged("--deltag", remove)?);
            words.push(path(vg, lv)?);
            words
        }
        Command::Rename { lv, to } => {
            named(to)?;
            split(&format!(
                "lvrename -y {} {} {to}",
                vg.name,
                find(vg, lv)?.name
            ))
        }
        Command::SetSkipActivation { lv, skip } => {
            split(&format!("lvchange -y -k{} {}", yes(*skip), path(vg, lv)?))
        }
        Command::Activate { lv } => split(&format!("lvchange -y -ay -K {}", path(vg, lv)?)),
        Command::Deactivate { lv } => split(&format!("lvchange -y -an {}", path(vg, lv)?)),
        Command::Refresh { lv } => split(&format!("lvchange -y --refresh {}", path(vg, lv)?)),
        _ => create(vg, command)?,
    })
}

fn create(vg: &Vg, command: &Command) -> Result<Vec<String>> {
    Ok(match command {
        Command::CreatePool {
            name,
            extents,
            metadata,
            chunk,
            // lvcreate of 2.03.16 refuses --errorwhenfull: it is the caller's second command.
            when_full: _,
            tags,
        } => {
            let mut words = split(&format!(
                "lvcreate -y -an -kn --type=thin-pool -l{extents} --poolmetadatasize={}k -Zy",
                metadata.div_ceil(KIB)
            ));
            words.extend(chunk.map(|chunk| format!("--chunksize={}k", chunk / KIB)));
            words.extend(named(name)?);
            words.extend(tagged("--addtag", tags)?);
            words.push(vg.name.clone());
            words
        }
        Command::CreateThin {
            name,
            pool,
            extents,
            tags,
        } => {
            let size = extents * vg.extent_size / KIB;
            let mut words = split(&format!("lvcreate -y -an -ky --type=thin -V{size}k"));
            words.push(format!("--thinpool={}", path(vg, pool)?));
            words.extend(named(name)?);
            words.extend(tagged("--addtag", tags)?);
            words
        }
        Command::CreateThick {
            name,
            extents,
            kind,
            on,
            active,
            tags,
        } => {
            let active = if *active { "-ay -K" } else { "-an" };
            let mut words = split(&format!("lvcreate -y -Wn -Zn -ky {active} -l{extents}"));
            words.extend(of_kind(*kind));
            words.extend(named(name)?);
            words.extend(tagged("--addtag", tags)?);
            words.push(vg.name.clone());
            words.extend(ranges(vg, on)?);
            words
        }
        _ => snapshot(vg, command)?,
    })
}

fn snapshot(vg: &Vg, command: &Command) -> Result<Vec<String>> {
    Ok(match command {
        Command::Snapshot {
            of,
            name,
            read_only,
            tags,
        } => {
            let mut words = split("lvcreate -y -an -ky -s");
            if *read_only {
                words.push("-pr".to_owned());
            }
            words.extend(named(name)?);
            words.extend(tagged("--addtag", tags)?);
            words.push(path(vg, of)?);
            words
        }
        Command::CowSnapshot {
            of,
            name,
            extents,
            tags,
        } => {
            let mut words = split(&format!("lvcreate -y -kn -s -l{extents}"));
            words.extend(named(name)?);
            words.extend(tagged("--addtag", tags)?);
            words.push(path(vg, of)?);
            words
        }
        _ => Vec::new(),
    })
}

fn of_kind(kind: Kind) -> Vec<String> {
    let (words, integrity) = match kind {
        Kind::Linear => ("--type=linear".to_owned(), false),
        Kind::Striped { stripes } => (format!("--type=striped -i{stripes}"), false),
        Kind::Raid1 { mirrors, integrity } => (format!("--type=raid1 -m{mirrors}"), integrity),
        Kind::Raid5 { stripes, integrity } => (format!("--type=raid5 -i{stripes}"), integrity),
    };
    let mut words = split(&words);
    if integrity {
        words.push("--raidintegrity=y".to_owned());
    }
    words
}

/// What is removed is said by id too: a volume that got the name meanwhile is left alone.
fn remove(vg: &Vg, lvs: &[LvUuid]) -> Result<Vec<String>> {
    let there: Vec<&Lv> = lvs.iter().filter_map(|uuid| vg.lv(uuid)).collect();
    if there.len() > MOST_REMOVED {
        return Err(LvmError::Invalid {
            what: "volumes to remove",
            value: there.len().to_string(),
            legal: "at most 40 by one command",
        });
    }
    let ids: Vec<String> = there
        .iter()
        .map(|lv| format!("lv_uuid={}", lv.uuid.with_dashes()))
        .collect();
    let mut words = split("lvremove -y");
    words.push(format!("--select={}", ids.join("||")));
    words.extend(there.iter().map(|lv| format!("{}/{}", vg.name, lv.name)));
    Ok(words)
}

pub(crate) fn find<'a>(vg: &'a Vg, uuid: &LvUuid) -> Result<&'a Lv> {
    vg.lv(uuid).ok_or_else(|| LvmError::NotFound {
        what: "logical volume",
        name: uuid.to_string(),
    })
}

fn path(vg: &Vg, uuid: &LvUuid) -> Result<String> {
    Ok(format!("{}/{}", vg.name, find(vg, uuid)?.name))
}

fn split(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

fn yes(yes: bool) -> &'static str {
    if yes { "y" } else { "n" }
}

fn named(name: &str) -> Result<[String; 2]> {
    let sound = !name.is_empty()
        && name.len() < 120
        && !name.starts_with('-')
        && !matches!(name, "." | "..")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte));
    if !sound {
        return Err(LvmError::Invalid {
            what: "name of a logical volume",
            value: name.to_owned(),
            legal: "letters, digits and + _ . - are allowed, 119 of them, no - at the start",
        });
    }
    Ok(["-n".to_owned(), name.to_owned()])
}

/// `lvm(8)`, TAGS.
fn tagged(option: &str, tags: &BTreeSet<String>) -> Result<Vec<String>> {
    tags.iter()
        .map(|tag| {
            let sound = !tag.is_empty()
                && tag.len() <= 1024
                && !tag.starts_with('-')
                && tag
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_+.-/=!:&#".contains(&byte));
            if sound {
                return Ok(format!("{option}={tag}"));
            }
            Err(LvmError::Invalid {
                what: "tag",
                value: tag.clone(),
                legal: "letters, digits and _ + . - / = ! : & # are allowed, 1024 of them",
            })
        })
        .collect()
}

/// `/dev/sda:0-9`: LVM counts the last one in.
fn ranges(vg: &Vg, on: &[PvRange]) -> Result<Vec<String>> {
    on.iter()
        .map(|range| {
            let pv = vg.pvs.iter().find(|pv| pv.uuid == range.pv);
            let device = pv.and_then(|pv| pv.device.as_ref());
            match (device, range.extents.checked_sub(1)) {
                (Some(device), Some(rest)) => Ok(format!(
                    "{}:{}-{}",
                    device.display(),
                    range.start,
                    range.start + rest
                )),
                _ => Err(LvmError::Invalid {
                    what: "range of extents",
                    value: format!("{range:?}"),
                    legal: "at least one extent of a physical volume of the group",
                }),
            }
        })
        .collect()
}

/// The words as one line for LVM's library: it splits at spaces, and knows quotes at the start of a word.
pub(crate) fn line(words: &[String]) -> Option<String> {
    let mut line = Vec::new();
    for word in words {
        if word.is_empty()
            || word.contains(char::is_whitespace)
            || word.starts_with(['\'', '"', '#'])
        {
            return None;
        }
        line.push(word.as_str());
    }
    Some(line.join(" "))
}

/// Extents of the physical volumes that a command takes, if it takes any: what is needed in all, and on how many
/// physical volumes how much of it.
pub(crate) fn needs(vg: &Vg, command: &Command) -> Option<(u64, u64, u64)> {
    let spread = |extents: u64, devices: u64, data: u64| {
        let each = extents.div_ceil(data.max(1));
        // A raid keeps an extent of its own on each device.
        let own = u64::from(devices > data || (devices > 1 && data == 1));
        Some(((each + own) * devices, devices, each + own))
    };
    let more = |lv: &LvUuid, to: u64| {
        let lv = vg.lv(lv)?;
        let grow = to.saturating_sub(lv.extents);
        match lv.layout {
            Layout::Striped { stripes } => spread(grow, stripes.into(), stripes.into()),
            Layout::Raid1 { copies, .. } => Some((grow * u64::from(copies), copies.into(), grow)),
            Layout::Raid5 { stripes, .. } => {
                let each = grow.div_ceil(u64::from(stripes).max(1));
                Some((
                    each * (u64::from(stripes) + 1),
                    u64::from(stripes) + 1,
                    each,
                ))
            }
            Layout::Thin { .. } => None,
            _ => Some((grow, 1, 0)),
        }
    };
    match command {
        Command::CreatePool {
            extents, metadata, ..
        } => {
            let own = metadata.div_ceil(vg.extent_size.max(1));
            Some((extents + 2 * own, 1, 0))
        }
        Command::CreateThick { extents, kind, .. } => match *kind {
            Kind::Linear => Some((*extents, 1, 0)),
            Kind::Striped { stripes } => spread(*extents, stripes.into(), stripes.into()),
            Kind::Raid1 { mirrors, .. } => spread(*extents, u64::from(mirrors) + 1, 1),
            Kind::Raid5 { stripes, .. } => spread(*extents, u64::from(stripes) + 1, stripes.into()),
        },
        Command::CowSnapshot { extents, .. } => Some((*extents, 1, 0)),
        Command::Extend { lv, to_extents, .. } => more(lv, *to_extents),
        Command::ExtendPool { pool, to_extents } => more(pool, *to_extents),
        Command::ExtendPoolMetadata { pool, to_extents } => {
            let Layout::ThinPool { metadata, .. } = &vg.lv(pool)?.layout else {
                return None;
            };
            // The spare grows with it.
            let grow = to_extents.saturating_sub(vg.lv_named(metadata)?.extents);
            Some((2 * grow, 1, 0))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
