//! From messages to checked values.

use fairlead_csi_spec::v1::volume_capability::AccessType;
use fairlead_csi_spec::v1::{self, Topology, VolumeCapability};
use fairlead_csi_volume::{Access, AccessError, CapacityRange, VolumeId, topology};

use crate::error::DriverError;

/// A size as the protocol has it.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The capabilities of a request, at least one.
pub(crate) fn accesses(capabilities: &[VolumeCapability]) -> Result<Vec<Access>, DriverError> {
    if capabilities.is_empty() {
        return Err(DriverError::Missing {
            field: "volume_capabilities",
        });
    }
    capabilities.iter().map(access_of).collect()
}

/// The one capability of a request.
pub(crate) fn access(capability: Option<&VolumeCapability>) -> Result<Access, DriverError> {
    match capability {
        Some(capability) => access_of(capability),
        None => Err(DriverError::Missing {
            field: "volume_capability",
        }),
    }
}

fn access_of(capability: &VolumeCapability) -> Result<Access, DriverError> {
    let mode = capability.access_mode.as_ref().map_or(0, |mode| mode.mode);
    match &capability.access_type {
        Some(AccessType::Block(_)) => Ok(Access::block(mode)?),
        Some(AccessType::Mount(mount)) => Ok(Access::mount(
            mode,
            &mount.fs_type,
            mount.mount_flags.clone(),
            &mount.volume_mount_group,
        )?),
        None => Err(AccessError::NoType.into()),
    }
}

/// The sizes that a request takes; none said is any.
pub(crate) fn range(range: Option<v1::CapacityRange>) -> Result<CapacityRange, DriverError> {
    match range {
        None => Ok(CapacityRange::default()),
        Some(range) => Ok(CapacityRange::new(range.required_bytes, range.limit_bytes)?),
    }
}

/// An id that has to be there. `None` is an id that no volume can have.
pub(crate) fn id(field: &'static str, id: &str) -> Result<Option<VolumeId>, DriverError> {
    if id.is_empty() {
        return Err(DriverError::Missing { field });
    }
    Ok(id.parse().ok())
}

/// That one of the topologies is this node.
pub(crate) fn reachable(requisite: &[Topology], node: &str) -> Result<(), DriverError> {
    let requisite: Vec<_> = requisite
        .iter()
        .map(|it| it.segments.clone().into_iter().collect())
        .collect();
    Ok(topology::check::<std::hash::RandomState>(&requisite, node)?)
}

/// A path of a volume that has to be named. One that is not absolute leads to no volume.
pub(crate) fn volume_path(path: &str) -> Result<&std::path::Path, DriverError> {
    if path.is_empty() {
        return Err(DriverError::Missing {
            field: "volume_path",
        });
    }
    Ok(std::path::Path::new(path))
}

/// A path that has to be there.
pub(crate) fn path<'a>(
    field: &'static str,
    path: &'a str,
) -> Result<&'a std::path::Path, DriverError> {
    if path.is_empty() {
        return Err(DriverError::Missing { field });
    }
    let path = std::path::Path::new(path);
    if !path.is_absolute() {
        return Err(DriverError::invalid(
            field,
            format!("{}", path.display()),
            "an absolute path is needed",
        ));
    }
    Ok(path)
}
