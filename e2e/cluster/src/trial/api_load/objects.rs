//! Pods as a Deployment makes them and a kubelet reports them, for no node and no scheduler.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

/// Different sets of labels among them.
const APPS: u32 = 200;

pub(super) fn name(number: u32) -> String {
    format!("web-7c9d5b6f4d-{number:05}")
}

/// What a controller posts. No scheduler has this name, so nothing is done about it.
pub(super) fn pod(number: u32) -> Value {
    let probe = |path: &str| {
        json!({
            "httpGet": {"path": path, "port": 8080, "scheme": "HTTP"},
            "periodSeconds": 10, "timeoutSeconds": 1, "failureThreshold": 3, "successThreshold": 1,
        })
    };
    let container = |name: &str, port: u16| {
        json!({
            "name": name,
            "image": format!("registry.example.org/team/{name}:v1.42.0"),
            "args": ["--listen=:8080", "--log-level=info"],
            "ports": [{"name": name, "containerPort": port, "protocol": "TCP"}],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "DATABASE_URL", "value": "postgres://database.default.svc/web"},
            ],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
            "livenessProbe": probe("/healthz"),
            "readinessProbe": probe("/readyz"),
            "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
        })
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name(number),
            "labels": {
                "app.kubernetes.io/name": format!("web-{}", number % APPS),
                "app.kubernetes.io/part-of": "shop",
                "pod-template-hash": "7c9d5b6f4d",
                "tier": if number.is_multiple_of(2) { "front" } else { "back" },
            },
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {
            "schedulerName": "nobody",
            "automountServiceAccountToken": false,
            "containers": [container("web", 8080), container("proxy", 15000)],
            "volumes": [{"name": "config", "configMap": {"name": "web"}}],
        },
    })
}

/// What a kubelet reports.
pub(super) fn status(number: u32) -> Value {
    let v4 = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number);
    let v6 = Ipv6Addr::from(
        u128::from(Ipv6Addr::new(0xfd00, 0x64, 0, 0, 0, 0, 0, 0)) + u128::from(number),
    );
    let since = "2026-01-01T00:00:00Z";
    let conditions: Vec<_> = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
    ]
    .map(|kind| json!({"type": kind, "status": "True", "lastTransitionTime": since}))
    .into();
    let containers: Vec<_> = ["web", "proxy"]
        .map(|name| {
            json!({
                "name": name,
                "ready": true,
                "started": true,
                "restartCount": 0,
                "image": format!("registry.example.org/team/{name}:v1.42.0"),
                "imageID": format!("registry.example.org/team/{name}@sha256:{number:064x}"),
                "containerID": format!("containerd://{number:064x}"),
                "state": {"running": {"startedAt": since}},
            })
        })
        .into();
    json!({"status": {
        "phase": "Running",
        "podIP": v4,
        "podIPs": [{"ip": v4}, {"ip": v6}],
        "startTime": since,
        "conditions": conditions,
        "containerStatuses": containers,
    }})
}

/// A change that policies could look at.
pub(super) fn change(number: u32) -> Value {
    json!({"metadata": {"labels": {"change": number.to_string()}}})
}
