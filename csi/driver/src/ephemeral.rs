//! Volumes that live as long as their pod: made at publish, removed at unpublish.
//!
//! The CO gives them an id of its own choice, which is kept as their name behind a prefix; that prefix is
//! what lets an unpublish remove a volume, and no volume of `CreateVolume` bears it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairlead_csi_spec::v1::{CapacityRange, CreateVolumeRequest, NodePublishVolumeRequest};
use fairlead_csi_volume::{Access, CoName, Kind, ParameterError, bytes};

use crate::controller::{create, delete};
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::node::{self, activate, deactivate};
use crate::request;

/// Kubernetes' mark of an inline volume.
const ASKED: &str = "csi.storage.k8s.io/ephemeral";
/// The size, beside the parameters of a class.
const SIZE: &str = "size";
/// Begins the names of such volumes.
pub(crate) const PREFIX: &str = "inline:";

/// Whether a publish asks for one.
pub(crate) fn asked(context: &BTreeMap<String, String>) -> bool {
    context.get(ASKED).is_some_and(|value| value == "true")
}

fn name(id: &str) -> String {
    format!("{PREFIX}{id}")
}

/// The private place where the volume is mounted.
fn staging(shared: &Shared, found: &Found) -> PathBuf {
    let folder = shared.config.run_dir.join("inline");
    folder.join(found.lv().uuid.as_str())
}

pub(crate) fn publish(
    shared: &Arc<Shared>,
    request: &NodePublishVolumeRequest,
    access: &Access,
    target: &Path,
) -> Result<(), DriverError> {
    if !shared.config.ephemeral {
        return Err(DriverError::invalid(
            ASKED,
            "true",
            "inline volumes are off on this node (ephemeral.enabled)",
        ));
    }
    let mut parameters = request.volume_context.clone();
    let size = match parameters.remove(SIZE) {
        None => None,
        Some(text) => {
            let wrong = |error: fairlead_csi_volume::QuantityError| ParameterError {
                key: SIZE.to_owned(),
                value: text.clone(),
                allowed: error.to_string(),
            };
            Some(bytes(&text).map_err(wrong)?)
        }
    };
    let wanted = CreateVolumeRequest {
        name: name(&request.volume_id),
        capacity_range: size.map(|bytes| CapacityRange {
            required_bytes: request::signed(bytes),
            limit_bytes: 0,
        }),
        volume_capabilities: request.volume_capability.clone().into_iter().collect(),
        parameters,
        ..Default::default()
    };
    let (found, made) = create::stand(shared, &wanted)?;
    let published = bound(shared, request, &found, access, target);
    if published.is_err() && made {
        // A CO need not unpublish what it was told that it cannot have.
        let gone = remove(shared, &request.volume_id);
        if let Err(error) = gone {
            tracing::warn!(volume = %found.id(), "stays until it is unpublished: {error}");
        }
    }
    published
}

/// Mounts the volume in its private place, and binds it to the target.
fn bound(
    shared: &Arc<Shared>,
    request: &NodePublishVolumeRequest,
    found: &Found,
    access: &Access,
    target: &Path,
) -> Result<(), DriverError> {
    activate(shared, found)?;
    let place = staging(shared, found);
    std::fs::create_dir_all(&place).map_err(|error| DriverError::Path {
        path: place.clone(),
        why: error.to_string(),
    })?;
    let key = node::key(&request.secrets)?;
    node::mounted(shared, found, access, key.as_ref(), &place)?;
    let group = shared.groups.by_id(&found.vg().uuid)?;
    let found = create::again(shared, &group, found)?;
    node::bind(shared, &found, access, request.readonly, (&place, target))
}

/// Removes the volume of a pod that has ended; nothing when there is none.
pub(crate) fn remove(shared: &Shared, id: &str) -> Result<(), DriverError> {
    let Ok(name) = CoName::new(&name(id)) else {
        return Ok(());
    };
    let Some(found) = shared.groups.by_name(Kind::Volume, &name, None)? else {
        return Ok(());
    };
    let place = staging(shared, &found);
    node::unmounted(shared, &found.lv().uuid, &place)?;
    // An empty folder that stays harms nobody.
    let _ = std::fs::remove_dir(&place);
    deactivate(shared, &found)?;
    delete::delete(shared, Kind::Volume, &found.id())
}
