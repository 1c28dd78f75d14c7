//! The CSI protocol: messages, clients and servers, made from `proto/csi.proto`.
//!
//! The text is that of version 1.13, the newest that sidecars and csi-sanity are built on, with the
//! volume conditions of 1.12 on their old numbers: a CO of either version learns which volumes are
//! sick. Messages that carry secrets have no `Debug`.

/// Package `csi.v1`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::doc_lazy_continuation,
    clippy::doc_overindented_list_items,
    clippy::pedantic,
    missing_docs,
    missing_debug_implementations,
    reason = "generated from proto/csi.proto"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/csi.v1.rs"));
}

pub use prost_types::Timestamp;

/// The version of the CSI specification that [`v1`] speaks.
pub const VERSION: &str = "1.13.0";

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::v1::{NodeGetVolumeStatsResponse, VolumeCondition};
    use super::v1::{
        controller_service_capability, list_volumes_response, node_service_capability,
    };

    #[test]
    fn conditions_of_1_12_stay_on_their_numbers() {
        let condition = Some(VolumeCondition {
            abnormal: true,
            message: "x".to_owned(),
        });
        // Field 2, length 5: {field 1 varint 1, field 2 "x"}.
        let wire = [0x12, 5, 0x08, 1, 0x12, 1, b'x'];
        let stats = NodeGetVolumeStatsResponse {
            volume_condition: condition.clone(),
            ..Default::default()
        };
        assert_eq!(stats.encode_to_vec(), wire);
        let listed = list_volumes_response::VolumeStatus {
            volume_condition: condition,
            ..Default::default()
        };
        assert_eq!(listed.encode_to_vec(), wire);
        let controller = controller_service_capability::rpc::Type::VolumeCondition;
        assert_eq!(controller as i32, 11);
        let node = node_service_capability::rpc::Type::VolumeCondition;
        assert_eq!(node as i32, 4);
    }

    #[test]
    fn health_of_1_13_has_its_numbers() {
        use controller_service_capability::rpc::Type as Controller;
        use node_service_capability::rpc::Type as Node;
        assert_eq!(Controller::GetVolumeHealth as i32, 16);
        assert_eq!(Controller::ListVolumeHealth as i32, 17);
        assert_eq!(Node::GetVolumeHealth as i32, 7);
        assert_eq!(Node::GetStorageHealth as i32, 8);
    }
}
