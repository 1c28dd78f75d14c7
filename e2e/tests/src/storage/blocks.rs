//! Calls for what has changed in snapshots.

use fairlead_csi_spec::v1 as csi;
use fairlead_csi_spec::v1::snapshot_metadata_client::SnapshotMetadataClient;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::call::{Answer, Changed};

/// `GetMetadataDelta`, or without a base `GetMetadataAllocated`; all messages.
pub(super) async fn changed(channel: Channel, call: Changed) -> Result<Answer, Status> {
    let mut to = SnapshotMetadataClient::new(channel);
    let Some(base_snapshot_id) = call.base else {
        let request = csi::GetMetadataAllocatedRequest {
            snapshot_id: call.target,
            starting_offset: call.start,
            max_results: call.most,
            ..Default::default()
        };
        let messages = to.get_metadata_allocated(request).await?.into_inner();
        return all(messages, |it| {
            (
                it.block_metadata_type,
                it.volume_capacity_bytes,
                it.block_metadata,
            )
        })
        .await;
    };
    let request = csi::GetMetadataDeltaRequest {
        base_snapshot_id,
        target_snapshot_id: call.target,
        starting_offset: call.start,
        max_results: call.most,
        ..Default::default()
    };
    let messages = to.get_metadata_delta(request).await?.into_inner();
    all(messages, |it| {
        (
            it.block_metadata_type,
            it.volume_capacity_bytes,
            it.block_metadata,
        )
    })
    .await
}

async fn all<M>(
    mut messages: Streaming<M>,
    parts: impl Fn(M) -> (i32, i64, Vec<csi::BlockMetadata>),
) -> Result<Answer, Status> {
    let (mut capacity, mut ranges) = (None, Vec::new());
    while let Some(message) = messages.message().await? {
        let (kind, bytes, blocks) = parts(message);
        let variable = csi::BlockMetadataType::VariableLength as i32;
        if kind != variable || *capacity.get_or_insert(bytes) != bytes {
            let why = format!("a message of kind {kind}, for {bytes} bytes");
            return Err(Status::data_loss(why));
        }
        ranges.push(
            blocks
                .iter()
                .map(|it| (it.byte_offset, it.size_bytes))
                .collect(),
        );
    }
    Ok(Answer::Ranges(capacity.unwrap_or(-1), ranges))
}
