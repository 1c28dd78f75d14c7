//! Where a volume is to be, and what it takes from its source.

use fairlead_csi_volume::{
    Encryption, FsState, Kind, LUKS_HEADER, ParameterError, Parameters, VolumeId,
};

use crate::config::{Class, Config};
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;

/// The device class that the parameters name: by its name, by its volume group, or the first one.
pub(crate) fn class<'a>(
    config: &'a Config,
    parameters: &Parameters,
) -> Result<&'a Class, DriverError> {
    let classes = &config.classes;
    let refused = |key: &str, value: &String, names: Vec<&str>| {
        DriverError::Parameter(ParameterError {
            key: key.to_owned(),
            value: value.clone(),
            allowed: format!("this node has {}", names.join(", ")),
        })
    };
    match (&parameters.class, &parameters.vg) {
        (Some(name), _) => classes.iter().find(|it| it.name == *name).ok_or_else(|| {
            refused(
                "class",
                name,
                classes.iter().map(|it| it.name.as_str()).collect(),
            )
        }),
        (None, Some(vg)) => classes
            .iter()
            .find(|it| it.vg == *vg)
            .ok_or_else(|| refused("vg", vg, classes.iter().map(|it| it.vg.as_str()).collect())),
        (None, None) => classes
            .first()
            .ok_or_else(|| DriverError::internal("no device class is configured")),
    }
}

/// The device class of a volume that exists: that of its parameters, or, when the configuration has
/// changed since, any one of its group.
pub(crate) fn class_of<'a>(config: &'a Config, found: &Found) -> Result<&'a Class, DriverError> {
    let vg = &found.vg().name;
    let named = class(config, &found.record.parameters);
    if named.as_ref().is_ok_and(|class| class.vg == *vg) {
        return named;
    }
    match config.classes.iter().find(|class| class.vg == *vg) {
        Some(class) => Ok(class),
        None => Err(DriverError::precondition(format!(
            "no device class has volume group {vg} any more; add one to the configuration"
        ))),
    }
}

/// Bytes before a volume on its LV.
pub(crate) fn header(parameters: &Parameters) -> u64 {
    match parameters.encryption {
        Encryption::None => 0,
        Encryption::Luks2 => LUKS_HEADER,
    }
}

/// The source of a new volume.
///
/// # Errors
///
/// There is none, or what is on it is not what the parameters say.
pub(crate) fn source(
    shared: &Shared,
    kind: Kind,
    id: &VolumeId,
    parameters: &Parameters,
) -> Result<Found, DriverError> {
    let what = match kind {
        Kind::Snapshot => "snapshot",
        Kind::Volume => "volume",
    };
    let found = shared.groups.find(kind, id)?.filter(Found::is_there);
    let found = found.ok_or_else(|| DriverError::NotFound {
        kind: what,
        object: id.to_string(),
    })?;
    let refused = |key: &str, value: &str, allowed: String| {
        Err(DriverError::Parameter(ParameterError {
            key: key.to_owned(),
            value: value.to_owned(),
            allowed,
        }))
    };
    if found.record.parameters.encryption != parameters.encryption {
        let word = |encryption| match encryption {
            Encryption::None => "none",
            Encryption::Luks2 => "luks2",
        };
        let is = word(found.record.parameters.encryption);
        let allowed = format!("the source's is {is}, and its blocks are taken as they are");
        return refused("encryption", word(parameters.encryption), allowed);
    }
    if let (FsState::Formatted(is) | FsState::Inherited(is), Some(asked)) =
        (found.record.fs, parameters.fs)
        && is != asked
    {
        let allowed = format!("the source has {is}, which the new volume gets");
        return refused("fs", asked.as_str(), allowed);
    }
    Ok(found)
}

/// What is on a volume with the blocks of `source`.
pub(crate) fn inherited(source: &Found) -> FsState {
    match source.record.fs {
        FsState::Formatted(fs) | FsState::Inherited(fs) => FsState::Inherited(fs),
        state @ (FsState::Never | FsState::Begun | FsState::Raw) => state,
    }
}
