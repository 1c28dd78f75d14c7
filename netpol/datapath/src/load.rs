//! Takes over what is pinned, and loads what is not there or is not of this build.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aya::maps::MapData;
use aya::programs::{Program, ProgramError, SchedClassifier, SocketFilter};
use aya::{Ebpf, EbpfLoader};
use aya_obj::Object;
use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::error::DatapathError;
use crate::event::Hook;
use crate::maps::MapName;
use crate::object::TO_NODE;
use crate::programs::Programs;
use crate::{Found, flows, pins};

/// How a map is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    kind: u32,
    key: u32,
    value: u32,
    flags: u32,
    entries: u32,
}

impl Shape {
    /// What sets it apart from another.
    fn difference(self, pinned: Self) -> String {
        if self
            == (Self {
                entries: self.entries,
                ..pinned
            })
        {
            return format!(
                "it has room for {} entries instead of {}",
                pinned.entries, self.entries
            );
        }
        format!("it is {pinned:?} instead of {self:?}")
    }
}

/// The shapes of all maps of an object with the sizes of a configuration.
fn wanted(object: &[u8], config: &Config) -> Result<BTreeMap<MapName, Shape>, DatapathError> {
    let parsed = Object::parse(object).map_err(|error| failed(error.into()))?;
    let shapes = MapName::ALL.into_iter().filter_map(|name| {
        let map = parsed.maps.get(name.name())?;
        let shape = Shape {
            kind: map.map_type(),
            key: map.key_size(),
            value: map.value_size(),
            flags: map.map_flags(),
            entries: name.size(&config.sizes).unwrap_or(map.max_entries()),
        };
        Some((name, shape))
    });
    Ok(shapes.collect())
}

/// The number and shape of a pinned map; `None` when there is none.
fn pinned(home: &Path, name: MapName) -> Result<Option<(u32, Shape)>, DatapathError> {
    let path = home.join(name.name());
    if !path.exists() {
        return Ok(None);
    }
    let map = MapData::from_pin(&path).map_err(name.failed("open"))?;
    let info = map.info().map_err(name.failed("open"))?;
    let kind = info.map_type().map_err(name.failed("open"))?;
    let shape = Shape {
        kind: kind as u32,
        key: info.key_size(),
        value: info.value_size(),
        flags: info.map_flags(),
        entries: info.max_entries(),
    };
    Ok(Some((info.id(), shape)))
}

/// What is done with the pinned maps.
#[derive(Debug, Default)]
struct Plan {
    /// Numbers of those that stay.
    kept: BTreeMap<MapName, u32>,
    /// The first that does not, and why.
    other: Option<(MapName, String)>,
}

impl Plan {
    /// Keeps the maps that are as they are wanted. Those that policy decides are kept all or none: old programs
    /// go on with the old ones, and never see half of the new.
    fn new(home: &Path, wanted: &BTreeMap<MapName, Shape>) -> Result<Self, DatapathError> {
        let mut plan = Self::default();
        let mut policy_stays = true;
        for (name, shape) in wanted {
            match pinned(home, *name)? {
                Some((id, found)) if found == *shape => {
                    plan.kept.insert(*name, id);
                }
                Some((_, found)) => {
                    plan.other.get_or_insert((*name, shape.difference(found)));
                    policy_stays &= !name.is_of_policy();
                }
                None => policy_stays &= !name.is_of_policy(),
            }
        }
        if !policy_stays {
            plan.kept.retain(|name, _| !name.is_of_policy());
        }
        Ok(plan)
    }
}

/// Where the program for the node is pinned: its name tells object and maps, so that a rule of nftables which
/// names it is another rule for another program.
fn to_node(home: &Path, object: &[u8], maps: &BTreeMap<MapName, u32>) -> PathBuf {
    let mut hash = Sha256::new();
    hash.update(object);
    for id in maps.values() {
        hash.update(id.to_ne_bytes());
    }
    let [a, b, c, d, ..] = hash.finalize().0;
    let digest = u32::from_be_bytes([a, b, c, d]);
    home.join(format!("{TO_NODE}_{digest:08x}"))
}

/// Opens the programs of `object` in `home`; loads them, and makes maps, as far as needed.
pub(crate) fn open(
    home: &Path,
    object: &[u8],
    config: &Config,
) -> Result<(Programs, Found), DatapathError> {
    pins::make(home)?;
    let wanted = wanted(object, config)?;
    let plan = Plan::new(home, &wanted)?;
    let path = to_node(home, object, &plan.kept);
    if plan.kept.len() == wanted.len() && path.exists() {
        return Ok((Programs::open(home, path)?, Found::Same));
    }
    let found = match &plan.other {
        Some((map, why)) => Found::OtherMaps {
            map: *map,
            why: why.clone(),
        },
        None if plan.kept.is_empty() => Found::Nothing,
        None => Found::OtherPrograms,
    };
    let ebpf = load(home, object, &wanted, &plan)?;
    let path = pin(ebpf, home, object, &wanted, plan)?;
    Ok((Programs::open(home, path)?, found))
}

/// Makes maps and loads programs; nothing of it is pinned.
fn load(
    home: &Path,
    object: &[u8],
    wanted: &BTreeMap<MapName, Shape>,
    plan: &Plan,
) -> Result<Ebpf, DatapathError> {
    let mut loader = EbpfLoader::new();
    for (name, shape) in wanted {
        loader.map_max_entries(name.name(), shape.entries);
        if plan.kept.contains_key(name) {
            loader.map_pin_path(name.name(), home.join(name.name()));
        }
    }
    let mut ebpf = loader.load(object).map_err(failed)?;
    for hook in Hook::ALL {
        let program = ebpf.program_mut(hook.program());
        let program = program.ok_or(ProgramError::NotLoaded);
        let result = program.and_then(|program| match program {
            Program::SchedClassifier(program) => program.load(),
            Program::SocketFilter(program) => program.load(),
            _ => Err(ProgramError::UnexpectedProgramType),
        });
        result.map_err(hook.failed("load"))?;
    }
    Ok(ebpf)
}

/// Pins new maps and the programs: what is pinned last says that all is. Says where the program for the node is.
fn pin(
    mut ebpf: Ebpf,
    home: &Path,
    object: &[u8],
    wanted: &BTreeMap<MapName, Shape>,
    plan: Plan,
) -> Result<PathBuf, DatapathError> {
    let before = pins::list(home)?;
    let mut ids = plan.kept;
    for name in wanted.keys() {
        if ids.contains_key(name) {
            continue;
        }
        if let Some(map) = ebpf.take_map(name.name()) {
            flows::carry_over(home, *name, &map)?;
            pins::replace(&home.join(name.name()), |path| map.pin(path))?;
        }
        if let Some((id, _)) = pinned(home, *name)? {
            ids.insert(*name, id);
        }
    }
    let to_node = to_node(home, object, &ids);
    for hook in Hook::ALL {
        let path = match hook {
            Hook::ToNode => to_node.clone(),
            hook => home.join(hook.program()),
        };
        if let Some(program) = ebpf.program_mut(hook.program()) {
            pins::replace(&path, |path| match program {
                Program::SchedClassifier(program) => SchedClassifier::pin(program, path),
                Program::SocketFilter(program) => SocketFilter::pin(program, path),
                other => other.pin(path),
            })?;
        }
    }
    for old in before {
        let name = old.file_name().and_then(|name| name.to_str());
        if name.is_some_and(|name| name.starts_with(TO_NODE)) && old != to_node {
            pins::remove(&old)?;
        }
    }
    Ok(to_node)
}

fn failed(source: aya::EbpfError) -> DatapathError {
    DatapathError::Load {
        source: Box::new(source),
    }
}
