//! `CreateVolume`: from nothing, from a snapshot, from a volume.
//!
//! A volume's name is its key until its id was told. What stands under the name decides what is done; each
//! state is read from LVM alone, so that a call can be repeated after any crash:
//!
//! | what stands                        | how it came about                    | this call                                   |
//! |------------------------------------|--------------------------------------|---------------------------------------------|
//! | nothing                            | first call, or the last one had died before LVM's commit | makes it                |
//! | complete, as asked                 | repeated call                        | tells its id                                |
//! | complete, otherwise                | the name is taken                    | `ALREADY_EXISTS`                            |
//! | smaller than `fl.z`, as asked      | died between snapshot and `lvextend` | grows it, tells its id                      |
//! | smaller than `fl.z`, otherwise     | the same, and another request        | `ALREADY_EXISTS`: it is not known as made by us alone |
//! | tagged `making`                    | died while it was zeroed or copied   | removes it, makes it anew: its id was never told |
//!
//! The ways to make one, with their LVM commands:
//!
//! | way                              | commands                                                            |
//! |----------------------------------|---------------------------------------------------------------------|
//! | thin                             | `lvcreate -V` (tags in it)                                          |
//! | thin, of one in the same pool    | `lvcreate -s` (tags in it); `lvextend` when it is to be larger      |
//! | thick                            | `lvcreate` tagged `making`, zeroed, `lvchange --deltag`; it stays active |
//! | copy: another pool, to or from thick | `lvcreate` tagged `making`, activated, copied, `lvchange --deltag`, `lvchange -an`; the source is activated meanwhile |

use std::sync::Arc;

use fairlead_csi_lvm::{Command, Layout as LvLayout, LvmError};
use fairlead_csi_spec::v1::volume_content_source::{
    SnapshotSource, Type as SourceType, VolumeSource,
};
use fairlead_csi_spec::v1::{
    CreateVolumeRequest, CreateVolumeResponse, Topology, Volume, VolumeContentSource,
};
use fairlead_csi_volume::compatible::{self, Request};
use fairlead_csi_volume::{
    CapacityRange, Change, Chosen, CoName, FsState, Kind, Limits, Parameters, Record, Rules,
    Source, VolumeId, lv_name, topology,
};

use crate::config::Class;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::{Found, Group, header};
use crate::{copy, ephemeral, limits, place, pool, request, thick};

/// A request, checked.
struct Wanted {
    name: CoName,
    parameters: Parameters,
    range: CapacityRange,
    source: Option<(Kind, VolumeId)>,
    limits: Limits,
}

pub(super) fn create(
    shared: &Arc<Shared>,
    request: &CreateVolumeRequest,
) -> Result<CreateVolumeResponse, DriverError> {
    if request.name.starts_with(ephemeral::PREFIX) {
        let allowed = "names that begin so are those of inline volumes";
        return Err(DriverError::invalid("name", &request.name, allowed));
    }
    let (found, _) = stand(shared, request)?;
    Ok(CreateVolumeResponse {
        volume: Some(volume(&shared.config.node, &found)),
    })
}

/// Makes or finds the volume of a request, whatever its name; says whether this call has made it.
pub(crate) fn stand(
    shared: &Shared,
    request: &CreateVolumeRequest,
) -> Result<(Found, bool), DriverError> {
    let wanted = parse(shared, request)?;
    let _claim = shared.inflight.claim("volume", wanted.name.as_str())?;
    let class = place::class(&shared.config, &wanted.parameters)?;
    let standing = shared
        .groups
        .by_name(Kind::Volume, &wanted.name, Some(&class.vg))?;
    match standing {
        None => Ok((make(shared, &wanted)?, true)),
        Some(found) if found.record.making => {
            remove(shared, &found)?;
            Ok((make(shared, &wanted)?, true))
        }
        Some(found) => {
            same(&found, &wanted)?;
            shared.lvm.confirm(found.vg(), found.lv())?;
            Ok((finish(shared, found)?, false))
        }
    }
}

/// The volume as the CO knows it.
pub(super) fn volume(node: &str, found: &Found) -> Volume {
    let vg = found.vg().uuid;
    Volume {
        capacity_bytes: request::signed(found.bytes()),
        volume_id: found.id().to_string(),
        content_source: found.record.source.map(|Source { kind, lv }| {
            let id = VolumeId { vg, lv }.to_string();
            let r#type = match kind {
                Kind::Snapshot => SourceType::Snapshot(SnapshotSource { snapshot_id: id }),
                Kind::Volume => SourceType::Volume(VolumeSource { volume_id: id }),
            };
            VolumeContentSource {
                r#type: Some(r#type),
            }
        }),
        accessible_topology: vec![here(node)],
        ..Default::default()
    }
}

/// This node, as topology.
pub(crate) fn here(node: &str) -> Topology {
    Topology {
        segments: topology::segments(node).into_iter().collect(),
    }
}

fn parse(shared: &Shared, request: &CreateVolumeRequest) -> Result<Wanted, DriverError> {
    if request.name.is_empty() {
        return Err(DriverError::Missing { field: "name" });
    }
    let accesses = request::accesses(&request.volume_capabilities)?;
    let parameters = Parameters::parse(&request.parameters)?.for_accesses(&accesses)?;
    let limits = if request.mutable_parameters.is_empty() {
        Limits::default()
    } else {
        super::modify::supported()?;
        Change::parse(&request.mutable_parameters)?.apply(Limits::default())
    };
    if let Some(requirement) = &request.accessibility_requirements {
        request::reachable(&requirement.requisite, &shared.config.node)?;
    }
    Ok(Wanted {
        name: CoName::new(&request.name)?,
        parameters,
        range: request::range(request.capacity_range)?,
        source: request
            .volume_content_source
            .as_ref()
            .map(source)
            .transpose()?,
        limits,
    })
}

/// What a volume is to be made from. An id that no volume can have names none.
fn source(source: &VolumeContentSource) -> Result<(Kind, VolumeId), DriverError> {
    let (kind, what, id) = match &source.r#type {
        Some(SourceType::Snapshot(it)) => (Kind::Snapshot, "snapshot", &it.snapshot_id),
        Some(SourceType::Volume(it)) => (Kind::Volume, "volume", &it.volume_id),
        None => {
            return Err(DriverError::Missing {
                field: "volume_content_source.type",
            });
        }
    };
    if id.is_empty() {
        return Err(DriverError::Missing {
            field: "the id in volume_content_source",
        });
    }
    match id.parse() {
        Ok(id) => Ok((kind, id)),
        Err(_) => Err(DriverError::NotFound {
            kind: what,
            object: id.clone(),
        }),
    }
}

/// That what stands under the name is what is asked for.
fn same(found: &Found, wanted: &Wanted) -> Result<(), DriverError> {
    let record = &found.record;
    let request = Request {
        range: wanted.range,
        parameters: &wanted.parameters,
        source: wanted.source.map(|(kind, id)| Source { kind, lv: id.lv }),
        limits: wanted.limits,
    };
    let bytes = record.wanted.saturating_sub(header(record));
    let differences = compatible::differences(record, bytes, &request);
    if differences.is_empty() {
        return Ok(());
    }
    Err(DriverError::Exists {
        kind: "volume",
        object: wanted.name.to_string(),
        differs: differences.join("; "),
    })
}

/// Grows a volume that was made smaller than it is to be.
fn finish(shared: &Shared, found: Found) -> Result<Found, DriverError> {
    if !found.is_short() {
        return Ok(found);
    }
    let extents = found.record.wanted.div_ceil(found.vg().extent_size);
    grow(shared, &found, extents)
}

/// Grows a thin volume to so many extents, if its pool may promise them.
pub(super) fn grow(shared: &Shared, found: &Found, extents: u64) -> Result<Found, DriverError> {
    let more = extents.saturating_sub(found.lv().extents) * found.vg().extent_size;
    let vg = shared.groups.change(&found.vg().uuid, || {
        pool::admit_beside(shared, found, more)?;
        Ok(shared.lvm.run(
            &found.vg().uuid,
            &Command::Extend {
                lv: found.lv().uuid,
                to_extents: extents,
                on: Vec::new(),
            },
        )?)
    })?;
    again(shared, &shared.groups.read(vg), found)
}

/// The same volume as it is now.
pub(crate) fn again(
    shared: &Shared,
    group: &Arc<Group>,
    found: &Found,
) -> Result<Found, DriverError> {
    shared
        .groups
        .find_in(group, found.record.kind, &found.lv().uuid)?
        .ok_or_else(|| {
            DriverError::internal(format!("{} is gone after LVM's command", found.lv().name))
        })
}

fn remove(shared: &Shared, found: &Found) -> Result<(), DriverError> {
    tracing::info!(lv = found.lv().name, "half-made volume is made anew");
    let lvs = vec![found.lv().uuid];
    shared.lvm.run(&found.vg().uuid, &Command::Remove { lvs })?;
    Ok(())
}

fn make(shared: &Shared, wanted: &Wanted) -> Result<Found, DriverError> {
    let class = place::class(&shared.config, &wanted.parameters)?;
    let group = shared.groups.named(&class.vg)?;
    let source = match &wanted.source {
        None => None,
        Some((kind, id)) => Some(place::source(shared, *kind, id, &wanted.parameters)?),
    };
    // Nobody formats, removes or grows the source meanwhile.
    let _claim = match &source {
        Some(source) => Some(shared.inflight.claim("volume", &source.id().to_string())?),
        None => None,
    };
    let chosen = wanted.range.choose(&Rules {
        extent: group.vg.extent_size,
        granularity: wanted.parameters.layout.granularity(),
        fs: wanted.parameters.fs,
        header: place::header(&wanted.parameters),
        source: source.as_ref().map_or(0, Found::bytes),
    })?;
    let record = Record {
        kind: Kind::Volume,
        cluster: shared.config.cluster.clone(),
        name: wanted.name.clone(),
        wanted: chosen.lv_bytes,
        parameters: wanted.parameters.clone(),
        source: source.as_ref().map(|source| Source {
            kind: source.record.kind,
            lv: source.lv().uuid,
        }),
        making: false,
        fs: source.as_ref().map_or(FsState::Never, place::inherited),
        put_aside: None,
        limits: wanted.limits,
        group: None,
    };
    match (wanted.parameters.layout.is_thin(), source) {
        (true, None) => thin(shared, class, &record, &chosen),
        (true, Some(source)) if shares_pool(&source, class, wanted) => {
            shared_blocks(shared, &source, &record, &chosen)
        }
        (true, Some(source)) => {
            let target = thin(shared, class, &making(record), &chosen)?;
            copy::into(shared, &source, &target)
        }
        (false, None) => {
            let target = thick::create(shared, class, &making(record), &chosen)?;
            thick::zeroed(shared, &target)
        }
        (false, Some(source)) => {
            let target = thick::create(shared, class, &making(record), &chosen)?;
            copy::into(shared, &source, &target)
        }
    }
}

fn making(record: Record) -> Record {
    Record {
        making: true,
        ..record
    }
}

/// Whether a volume of the class can have the source's blocks.
fn shares_pool(source: &Found, class: &Class, wanted: &Wanted) -> bool {
    let named = pool::name(class, &wanted.parameters.layout);
    let LvLayout::Thin { pool, .. } = &source.lv().layout else {
        return false;
    };
    source.vg().name == class.vg && pool == named
}

/// A thin volume with nothing on it.
fn thin(
    shared: &Shared,
    class: &Class,
    record: &Record,
    chosen: &Chosen,
) -> Result<Found, DriverError> {
    let (layout, tags) = (&record.parameters.layout, record.tags()?);
    let group = shared.groups.named(&class.vg)?;
    shared.groups.change(&group.vg.uuid, || {
        let (group, pool) = pool::ensure(shared, class, layout, chosen.lv_bytes)?;
        pool::admit(shared, class, &group, &pool, layout, chosen.lv_bytes)?;
        named(shared, &group, Kind::Volume, |name| Command::CreateThin {
            name,
            pool,
            extents: chosen.extents,
            tags: tags.clone(),
        })
    })
}

/// A thin volume that begins with its source's blocks.
fn shared_blocks(
    shared: &Shared,
    source: &Found,
    record: &Record,
    chosen: &Chosen,
) -> Result<Found, DriverError> {
    let tags = record.tags()?;
    let found = shared.groups.change(&source.vg().uuid, || {
        pool::admit_beside(shared, source, chosen.lv_bytes)?;
        named(shared, &source.group, Kind::Volume, |name| {
            Command::Snapshot {
                of: source.lv().uuid,
                name,
                read_only: false,
                tags: tags.clone(),
            }
        })
    })?;
    finish(shared, found)
}

/// Runs a command that makes a logical volume, under a free name; the result is that volume.
pub(crate) fn named(
    shared: &Shared,
    group: &Arc<Group>,
    kind: Kind,
    command: impl Fn(String) -> Command,
) -> Result<Found, DriverError> {
    limits::admit(shared, &group.vg, kind)?;
    loop {
        let name = lv_name(kind, fastrand::u64(..));
        match shared.lvm.run(&group.vg.uuid, &command(name.clone())) {
            Ok(vg) => {
                let group = shared.groups.read(vg);
                let lv = group.vg.lv_named(&name).map(|lv| lv.uuid);
                let found = match lv {
                    Some(lv) => shared.groups.find_in(&group, kind, &lv)?,
                    None => None,
                };
                let gone =
                    || DriverError::internal(format!("{name} is gone after LVM had made it"));
                return found.ok_or_else(gone);
            }
            // 60 bits of chance have met one of theirs.
            Err(LvmError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
