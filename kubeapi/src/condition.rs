//! The `NetworkUnavailable` condition: how a node says that pod traffic to and from it works.
//!
//! The taint `node.kubernetes.io/network-unavailable` mirrors it. Who routes the pod ranges sets
//! it to `False`; cloud route controllers do so themselves.

use std::time::SystemTime;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Map, Value, json};

use crate::object::Condition;

/// The condition's type.
pub const NETWORK_UNAVAILABLE: &str = "NetworkUnavailable";

/// The reason Fairlead gives.
pub const REASON: &str = "FairleadIsUp";

/// The message Fairlead gives.
pub const MESSAGE: &str = "Fairlead routes the pod ranges of this node";

/// A strategic merge patch of `nodes/status`, which may carry annotations too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NodePatch(Map<String, Value>);

impl NodePatch {
    /// Sets `NetworkUnavailable` to `False`. Conditions merge by their type, so no other one is
    /// touched.
    #[must_use]
    pub fn network_available(mut self, now: SystemTime) -> Self {
        let now = k8s_openapi::jiff::Timestamp::try_from(now).map(Time).ok();
        let condition = json!({
            "type": NETWORK_UNAVAILABLE,
            "status": "False",
            "reason": REASON,
            "message": MESSAGE,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        });
        self.0
            .insert("status".to_owned(), json!({"conditions": [condition]}));
        self
    }

    /// Sets one annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.0
            .insert("metadata".to_owned(), json!({"annotations": {key: value}}));
        self
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body of the request.
    #[must_use]
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

pub(crate) fn is_ours(condition: &Condition) -> bool {
    condition.kind == NETWORK_UNAVAILABLE
        && condition.status == "False"
        && condition.reason == REASON
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Node, NodeObject};

    #[test]
    fn the_patch_is_the_documented_one() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(
            NodePatch::default()
                .network_available(now)
                .annotation("a/b", "c")
                .into_value()
                .to_string(),
            r#"{"metadata":{"annotations":{"a/b":"c"}},"status":{"conditions":[{"lastHeartbeatTime":"2023-11-14T22:13:20Z","lastTransitionTime":"2023-11-14T22:13:20Z","message":"Fairlead routes the pod ranges of this node","reason":"FairleadIsUp","status":"False","type":"NetworkUnavailable"}]}}"#
        );
    }

    #[test]
    fn a_node_that_carries_the_patch_needs_no_other() {
        let mut object = NodePatch::default()
            .network_available(SystemTime::UNIX_EPOCH)
            .into_value();
        object["metadata"] = serde_json::json!({"name": "n1"});
        let object: NodeObject = serde_json::from_value(object).unwrap();
        assert!(Node::from_object(&object, None).unwrap().network_available);
    }
}
