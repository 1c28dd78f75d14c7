//! Reads what the programs tell.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use aya::maps::{MapData, PerCpuArray, RingBuf};

use crate::error::DatapathError;
use crate::event::Event;
use crate::maps::MapName;

/// The reader of the ring of events: poll its descriptor, then take all.
pub struct Events {
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
}

impl Events {
    pub(crate) fn open(home: &Path) -> Result<Self, DatapathError> {
        Ok(Self {
            ring: open(home, MapName::Events)?,
            lost: open(home, MapName::Lost)?,
        })
    }

    /// The next event; `None` when there is none now.
    #[expect(
        clippy::should_implement_trait,
        reason = "there may be more after `None`"
    )]
    pub fn next(&mut self) -> Option<Event> {
        let _ = self.ring.next()?;
        None
    }

    /// How many events found the ring full since it was made.
    pub fn lost(&self) -> Result<u64, DatapathError> {
        let each = self.lost.get(&0, 0).map_err(|source| DatapathError::Map {
            doing: "read",
            map: MapName::Lost,
            source: Box::new(source),
        })?;
        Ok(each.iter().sum())
    }
}

fn open<T>(home: &Path, map: MapName) -> Result<T, DatapathError>
where
    T: TryFrom<aya::maps::Map, Error = aya::maps::MapError>,
{
    let failed = |source| DatapathError::Map {
        doing: "open",
        map,
        source: Box::new(source),
    };
    let data = MapData::from_pin(home.join(map.name())).map_err(failed)?;
    aya::maps::Map::from_map_data(data)
        .and_then(T::try_from)
        .map_err(failed)
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> i32 {
        self.ring.as_raw_fd()
    }
}
