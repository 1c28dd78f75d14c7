//! Pod objects as an agent reads them from a folder.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

/// A Pod object, as far as policy looks at it.
#[derive(Debug, Clone, Default)]
pub struct PodObject {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its node; empty: not bound yet.
    pub node: String,
    /// Its labels.
    pub labels: Vec<(String, String)>,
    /// Its annotations.
    pub annotations: Vec<(String, String)>,
    /// Its addresses as its status tells them.
    pub ips: Vec<IpAddr>,
    /// Whether it uses its node's network.
    pub host_network: bool,
    /// Its phase; empty: Running.
    pub phase: String,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Named ports of TCP.
    pub ports: Vec<(String, u16)>,
}

impl PodObject {
    /// The object of the pod `namespace/name` with labels; its UID is made of number and name.
    #[must_use]
    pub fn new(path: &str, labels: &[(&str, &str)]) -> Self {
        let (namespace, name) = path.split_once('/').unwrap_or(("default", path));
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: format!("uid-{namespace}-{name}"),
            labels: owned(labels),
            ..Self::default()
        }
    }

    /// The file that it is written to.
    #[must_use]
    pub fn file(&self) -> String {
        format!("pod-{}-{}", self.namespace, self.name)
    }

    /// What container runtimes tell plugins of it.
    #[must_use]
    pub fn cni_args(&self, container: &str) -> String {
        let Self {
            namespace,
            name,
            uid,
            ..
        } = self;
        format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};\
             K8S_POD_INFRA_CONTAINER_ID={container};K8S_POD_UID={uid}"
        )
    }

    /// The object in JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let phase = match self.phase.as_str() {
            "" => "Running",
            phase => phase,
        };
        let ips: Vec<Value> = self.ips.iter().map(|ip| json!({"ip": ip})).collect();
        let port = |(name, port): &(String, u16)| json!({"name": name, "containerPort": port, "protocol": "TCP"});
        let ports: Vec<Value> = self.ports.iter().map(port).collect();
        let mut object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "namespace": self.namespace, "name": self.name, "uid": self.uid,
                "labels": map(&self.labels), "annotations": map(&self.annotations),
            },
            "spec": {
                "nodeName": self.node, "hostNetwork": self.host_network,
                "containers": [{"name": "c", "ports": ports}],
            },
            "status": {"phase": phase, "podIPs": ips},
        });
        if let Some(first) = self.ips.first() {
            object["status"]["podIP"] = json!(first);
        }
        if self.terminating {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        object
    }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    pairs.iter().map(pair).collect()
}

fn map(pairs: &[(String, String)]) -> Map<String, Value> {
    let pair = |(key, value): &(String, String)| (key.clone(), json!(value));
    pairs.iter().map(pair).collect()
}
