//! The `SnapshotMetadata` service: which parts of a snapshot hold data, or differ from those of an earlier one.
//!
//! Only thin pools know. Answers are read in parts as the caller takes them; a caller that is slow or goes
//! away holds nothing of the pool, and none of its snapshots.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use fairlead_csi_lvm::{BlockQuery, ChangedBlocks, Layout, LvmError};
use fairlead_csi_spec::v1::snapshot_metadata_server::SnapshotMetadata;
use fairlead_csi_spec::v1::{
    BlockMetadata, BlockMetadataType, GetMetadataAllocatedRequest, GetMetadataAllocatedResponse,
    GetMetadataDeltaRequest, GetMetadataDeltaResponse,
};
use fairlead_csi_volume::Kind;
use futures_util::stream::{Stream, try_unfold};
use tonic::{Request, Response, Status};

use crate::controller::known;
use crate::driver::{Driver, Shared};
use crate::error::DriverError;
use crate::groups::Found;
use crate::request;

/// Ranges of a message when the caller does not say how many.
const RANGES: usize = 1024;

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Blocks {
    driver: Driver,
    changed: Arc<ChangedBlocks>,
}

type Replies<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

/// What a caller asks for; both calls are this one.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ask {
    base: Option<String>,
    target: String,
    /// First byte that matters.
    start: i64,
    /// Ranges of a message.
    most: i32,
}

impl From<GetMetadataAllocatedRequest> for Ask {
    fn from(request: GetMetadataAllocatedRequest) -> Self {
        Self {
            base: None,
            target: request.snapshot_id,
            start: request.starting_offset,
            most: request.max_results,
        }
    }
}

impl From<GetMetadataDeltaRequest> for Ask {
    fn from(request: GetMetadataDeltaRequest) -> Self {
        Self {
            base: Some(request.base_snapshot_id),
            target: request.target_snapshot_id,
            start: request.starting_offset,
            most: request.max_results,
        }
    }
}

/// A message of an answer.
trait Reply: Send + 'static {
    fn new(capacity: i64, ranges: Vec<BlockMetadata>) -> Self;
}

impl Reply for GetMetadataAllocatedResponse {
    fn new(capacity: i64, ranges: Vec<BlockMetadata>) -> Self {
        Self {
            block_metadata_type: BlockMetadataType::VariableLength.into(),
            volume_capacity_bytes: capacity,
            block_metadata: ranges,
        }
    }
}

impl Reply for GetMetadataDeltaResponse {
    fn new(capacity: i64, ranges: Vec<BlockMetadata>) -> Self {
        Self {
            block_metadata_type: BlockMetadataType::VariableLength.into(),
            volume_capacity_bytes: capacity,
            block_metadata: ranges,
        }
    }
}

#[tonic::async_trait]
impl SnapshotMetadata for Blocks {
    type GetMetadataAllocatedStream = Replies<GetMetadataAllocatedResponse>;
    type GetMetadataDeltaStream = Replies<GetMetadataDeltaResponse>;

    async fn get_metadata_allocated(
        &self,
        request: Request<GetMetadataAllocatedRequest>,
    ) -> Result<Response<Self::GetMetadataAllocatedStream>, Status> {
        let ask = request.into_inner().into();
        self.answer("get_metadata_allocated", ask).await
    }

    async fn get_metadata_delta(
        &self,
        request: Request<GetMetadataDeltaRequest>,
    ) -> Result<Response<Self::GetMetadataDeltaStream>, Status> {
        let ask = request.into_inner().into();
        self.answer("get_metadata_delta", ask).await
    }
}

impl Blocks {
    pub(crate) fn new(driver: Driver) -> Self {
        let shared = &driver.0;
        let notes = shared.config.run_dir.join("blocks");
        let changed = Arc::new(ChangedBlocks::new(shared.lvm.reader(), notes));
        Self { driver, changed }
    }

    /// Reads the first part, so that what is wrong with the call is its answer; the rest on demand.
    async fn answer<R: Reply>(
        &self,
        call: &'static str,
        ask: Ask,
    ) -> Result<Response<Replies<R>>, Status> {
        let part = self.read(call, &ask, None).await?;
        let answer = Answer {
            blocks: self.clone(),
            call,
            ask,
            capacity: part.capacity,
            part,
            told: false,
        };
        let replies = try_unfold(answer, async |mut answer| {
            let reply = answer.reply().await?;
            Ok(reply.map(|reply| (reply, answer)))
        });
        Ok(Response::new(Box::pin(replies)))
    }

    /// Reads a part, from a byte of the logical volume on.
    async fn read(&self, call: &'static str, ask: &Ask, from: Option<u64>) -> Result<Part, Status> {
        let changed = Arc::clone(&self.changed);
        let request = Request::new(ask.clone());
        let part = self.driver.waiting(call, request, move |shared, ask| {
            part(shared, &changed, ask, from)
        });
        Ok(part.await?.into_inner())
    }
}

/// An answer that is under way.
#[derive(Debug)]
struct Answer {
    blocks: Blocks,
    call: &'static str,
    ask: Ask,
    /// Bytes of the volume, the same in all messages.
    capacity: u64,
    part: Part,
    /// Whether there was a message.
    told: bool,
}

/// What was read at once.
#[derive(Debug)]
struct Part {
    capacity: u64,
    ranges: std::vec::IntoIter<BlockMetadata>,
    next: Option<u64>,
}

impl Answer {
    /// The next message. There is one at least: it tells the size.
    async fn reply<R: Reply>(&mut self) -> Result<Option<R>, Status> {
        while self.part.ranges.len() == 0
            && let Some(next) = self.part.next
        {
            self.part = self.blocks.read(self.call, &self.ask, Some(next)).await?;
        }
        let most = usize::try_from(self.ask.most).unwrap_or_default();
        let most = if most == 0 { RANGES } else { most.min(RANGES) };
        let ranges: Vec<_> = self.part.ranges.by_ref().take(most).collect();
        if ranges.is_empty() && self.told {
            return Ok(None);
        }
        self.told = true;
        Ok(Some(R::new(request::signed(self.capacity), ranges)))
    }
}

fn part(
    shared: &Shared,
    changed: &ChangedBlocks,
    ask: &Ask,
    from: Option<u64>,
) -> Result<Part, DriverError> {
    let target = if ask.base.is_some() {
        "target_snapshot_id"
    } else {
        "snapshot_id"
    };
    let target = snapshot(shared, target, &ask.target)?;
    let base = match &ask.base {
        Some(id) => Some(snapshot(shared, "base_snapshot_id", id)?),
        None => None,
    };
    if let Some(base) = &base {
        related(base, &target)?;
    }
    let capacity = target.bytes();
    let start = offset(ask, capacity)?;
    let header = target.header();
    let query = BlockQuery {
        vg: target.vg().uuid,
        base: base.map(|base| base.lv().uuid),
        target: target.lv().uuid,
        start: from.unwrap_or(start + header),
    };
    let read = changed.part(&query).map_err(|error| match error {
        // It ends by itself: the caller comes back.
        LvmError::InUse { .. } => DriverError::unavailable(error.to_string()),
        error => error.into(),
    })?;
    let inside = read.ranges.into_iter();
    let inside: Vec<_> = inside
        .filter_map(|range| clip(&range, header, start..capacity))
        .collect();
    Ok(Part {
        capacity,
        ranges: inside.into_iter(),
        next: read.next,
    })
}

fn snapshot(shared: &Shared, field: &'static str, id: &str) -> Result<Found, DriverError> {
    let found = known(shared, Kind::Snapshot, request::id(field, id)?, id)?;
    match found.lv().layout {
        Layout::Thin { .. } => Ok(found),
        _ => Err(DriverError::precondition(format!(
            "snapshot {id} is of a thick volume: only thin pools know which blocks hold data or have changed"
        ))),
    }
}

/// Two snapshots of one volume. Which of them is the older does not matter: what differs is the same.
fn related(base: &Found, target: &Found) -> Result<(), DriverError> {
    let of = |found: &Found| (found.vg().uuid, found.record.source.map(|source| source.lv));
    if of(base) != of(target) {
        return Err(DriverError::invalid(
            "base_snapshot_id",
            base.id().to_string(),
            format!(
                "a snapshot of the volume is needed that {} is of",
                target.id()
            ),
        ));
    }
    let pool = |found: &Found| match &found.lv().layout {
        Layout::Thin { pool, .. } => Some(pool.clone()),
        _ => None,
    };
    if pool(base) != pool(target) {
        return Err(DriverError::precondition(format!(
            "snapshots {} and {} are in different thin pools, which know nothing of each other",
            base.id(),
            target.id()
        )));
    }
    Ok(())
}

/// The first byte that matters.
fn offset(ask: &Ask, capacity: u64) -> Result<u64, DriverError> {
    if ask.most < 0 {
        let allowed = "0 leaves it to the driver, more limits each message";
        return Err(DriverError::invalid(
            "max_results",
            ask.most.to_string(),
            allowed,
        ));
    }
    let start = u64::try_from(ask.start)
        .ok()
        .filter(|start| *start <= capacity);
    start.ok_or_else(|| DriverError::Outside {
        field: "starting_offset",
        value: ask.start.to_string(),
        allowed: format!("0 to {capacity}, the snapshot's size"),
    })
}

/// The part of a range of the logical volume, which starts with a header, that is in a range of the volume.
fn clip(range: &Range<u64>, header: u64, inside: Range<u64>) -> Option<BlockMetadata> {
    let start = range.start.saturating_sub(header).max(inside.start);
    let end = range.end.saturating_sub(header).min(inside.end);
    (start < end).then(|| BlockMetadata {
        byte_offset: request::signed(start),
        size_bytes: request::signed(end - start),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(start: i64, most: i32) -> Ask {
        Ask {
            base: None,
            target: "s".to_owned(),
            start,
            most,
        }
    }

    #[test]
    fn offsets_outside_of_the_snapshot_are_refused() {
        assert_eq!(offset(&ask(0, 0), 4096).unwrap(), 0);
        assert_eq!(
            offset(&ask(4096, 7), 4096).unwrap(),
            4096,
            "a caller that has all"
        );
        for start in [-1, 4097, i64::MAX] {
            let error = offset(&ask(start, 0), 4096).unwrap_err();
            let words = format!("starting_offset is {start}; 0 to 4096, the snapshot's size");
            assert_eq!(error.to_string(), words);
            assert_eq!(Status::from(error).code(), tonic::Code::OutOfRange);
        }
        let error = offset(&ask(0, -1), 4096).unwrap_err();
        assert_eq!(
            error.to_string(),
            "max_results is -1; 0 leaves it to the driver, more limits each message"
        );
        assert_eq!(Status::from(error).code(), tonic::Code::InvalidArgument);
    }

    #[test]
    fn ranges_are_those_of_the_volume_without_what_stands_before_it() {
        let clipped = |range: Range<u64>, header, inside| {
            let clipped = clip(&range, header, inside)?;
            Some((clipped.byte_offset, clipped.size_bytes))
        };
        assert_eq!(clipped(10..30, 0, 0..100), Some((10, 20)));
        assert_eq!(clipped(10..30, 20, 0..100), Some((0, 10)));
        assert_eq!(clipped(10..30, 30, 0..100), None);
        assert_eq!(clipped(90..130, 20, 75..100), Some((75, 25)));
        assert_eq!(
            clipped(0..64, 0, 64..100),
            None,
            "ends where it is to start"
        );
        assert_eq!(clipped(64..128, 0, 0..100), Some((64, 36)));
    }
}
