//! Flows that a larger or smaller map takes over from the one in whose place it comes.

use std::path::Path;

use aya::maps::{HashMap, Map, MapData, MapError};

use crate::error::DatapathError;
use crate::layout::{Flow, FlowKey};
use crate::maps::MapName;

/// Copies what is pinned into `fresh`, where both are maps of flows. Flows that begin from now on until the
/// programs on links are replaced are not in it: they are found again by their next packet that policy allows.
pub(crate) fn carry_over(home: &Path, name: MapName, fresh: &Map) -> Result<(), DatapathError> {
    let flows = matches!(name, MapName::Flows | MapName::FlowsNew);
    if !flows || !home.join(name.name()).exists() {
        return Ok(());
    }
    // One of another layout says nothing.
    let Ok(pinned) = name.open::<HashMap<MapData, FlowKey, Flow>>(home) else {
        return Ok(());
    };
    let copied = copy(&pinned, fresh);
    copied.map_err(name.failed("copy flows into"))
}

fn copy(pinned: &HashMap<MapData, FlowKey, Flow>, fresh: &Map) -> Result<(), MapError> {
    let Map::LruHashMap(fresh) = fresh else {
        return Ok(());
    };
    let id = fresh.info()?.id();
    let mut fresh: HashMap<MapData, FlowKey, Flow> =
        Map::from_map_data(MapData::from_id(id)?)?.try_into()?;
    for entry in pinned {
        // A busy map may repeat entries, or leave some out: it is no more than what is known.
        let Ok((key, flow)) = entry else { break };
        fresh.insert(key, flow, 0)?;
    }
    Ok(())
}
