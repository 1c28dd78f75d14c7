//! `GetCapacity`: what a class still holds here, and the largest volume that it makes.

use std::sync::Arc;

use fairlead_csi_lvm::Layout as LvLayout;
use fairlead_csi_spec::v1::{GetCapacityRequest, GetCapacityResponse};
use fairlead_csi_volume::pool::{self as policy, Pool};
use fairlead_csi_volume::{Fs, Layout, Parameters};

use crate::config::Class;
use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Group;
use crate::{place, pool, request, thick};

pub(super) fn capacity(
    shared: &Arc<Shared>,
    request: &GetCapacityRequest,
) -> Result<GetCapacityResponse, DriverError> {
    let accesses = match request.volume_capabilities.as_slice() {
        [] => Vec::new(),
        some => request::accesses(some)?,
    };
    let parameters = Parameters::parse(&request.parameters)?.for_accesses(&accesses)?;
    if let Some(topology) = &request.accessible_topology
        && request::reachable(std::slice::from_ref(topology), &shared.config.node).is_err()
    {
        return Ok(answer(0, 0, 0));
    }
    let class = place::class(&shared.config, &parameters)?;
    let group = shared.groups.named(&class.vg)?;
    let largest = match &parameters.layout {
        layout @ Layout::Thin { .. } => thin(shared, class, &group, layout)?,
        layout => {
            let extents = thick::space(class, &group.vg).largest(layout);
            extents * group.vg.extent_size
        }
    };
    let header = place::header(&parameters);
    let least = parameters.fs.map_or(group.vg.extent_size, Fs::smallest);
    let largest = largest.saturating_sub(header);
    let largest = if largest < least { 0 } else { largest };
    Ok(answer(largest, largest, least))
}

fn answer(available: u64, largest: u64, least: u64) -> GetCapacityResponse {
    GetCapacityResponse {
        available_capacity: request::signed(available),
        maximum_volume_size: Some(request::signed(largest)),
        minimum_volume_size: Some(request::signed(least)),
    }
}

/// What the pool may still promise; of one that is to be made, what it could.
fn thin(
    shared: &Shared,
    class: &Class,
    group: &Arc<Group>,
    layout: &Layout,
) -> Result<u64, DriverError> {
    let vg = &group.vg;
    let policy = pool::policy(class, layout);
    let room = pool::room(vg);
    let (state, room): (Pool, _) = match vg.lv_named(pool::name(class, layout)) {
        Some(lv) if matches!(lv.layout, LvLayout::ThinPool { .. }) => {
            (pool::read(shared, vg, lv)?.0, room)
        }
        Some(_) => return Ok(0),
        None if !class.create_pool => return Ok(0),
        None => {
            let (chunk, when_full) = pool::wanted(class, layout);
            match policy::first(&room, chunk) {
                Ok(first) => first.made(&room, when_full),
                Err(_) => return Ok(0),
            }
        }
    };
    Ok(policy::largest(&state, &policy, &room))
}
