//! The objects: an isolated pod, the policy that opens it for a label, and the pods that send to it.

use serde_json::{Value, json};

use super::{CLIENT, NAMESPACE, SERVER as SERVER_NODE};

/// The isolated pod's name.
pub(super) const SERVER: &str = "server";
/// Selects all pods that send.
pub(super) const SENDS: &str = "role in (labelled, stranger)";

const IMAGE: &str = "registry.k8s.io/e2e-test-images/agnhost:2.59";
const UDP_PORT: u16 = 8081;
const HTTP_PORT: u16 = 8080;

/// Lets the label in, and nobody else.
pub(super) fn policy() -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "labelled-only", "namespace": NAMESPACE},
        "spec": {
            "podSelector": {"matchLabels": {"role": SERVER}},
            "policyTypes": ["Ingress"],
            "ingress": [{
                "from": [{"podSelector": {"matchLabels": {"role": "labelled"}}}],
                "ports": [{"protocol": "UDP", "port": UDP_PORT}],
            }],
        },
    })
}

/// Answers every datagram.
pub(super) fn server() -> Value {
    let container = json!({
        "name": SERVER,
        "image": IMAGE,
        "args": ["netexec", format!("--udp-port={UDP_PORT}"), format!("--http-port={HTTP_PORT}")],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": HTTP_PORT}, "periodSeconds": 1},
    });
    pod(SERVER, SERVER, &SERVER_NODE.to_string(), &container)
}

/// Those with the label, and one without it.
pub(super) fn senders(labelled: &[String], stranger: &str, server: &str) -> Value {
    let script = script(server);
    let sender = |name: &str, role: &str| {
        let container = json!({
            "name": "sender",
            "image": IMAGE,
            "command": ["bash", "-c", script],
        });
        pod(name, role, &CLIENT.to_string(), &container)
    };
    let mut items: Vec<_> = labelled
        .iter()
        .map(|name| sender(name, "labelled"))
        .collect();
    items.push(sender(stranger, "stranger"));
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}

/// A datagram every 5 ms, until the first answer. Stays, so that the runtime keeps the result of the pod's ADD.
fn script(server: &str) -> String {
    format!(
        "exec 3<>/dev/udp/{server}/{UDP_PORT}; echo sent $EPOCHREALTIME; \
         until printf 'echo x' >&3; read -r -N 1 -t 0.005 -u 3; do :; done; \
         echo answered $EPOCHREALTIME; exec sleep infinity"
    )
}

fn pod(name: &str, role: &str, node: &str, container: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"role": role}},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "containers": [container],
        },
    })
}
