//! A Pod: what selects it, where it is and what it may send from.

use std::net::IpAddr;

use fairlead_netpol_model::cluster::{Name, NamedPort, Pod, Protocol, Sources};
use ipnetwork::IpNetwork;
use kube::api::ObjectMeta;
use serde::Deserialize;

use crate::meta::{light, resource};
use crate::{Fault, Shared};

/// The annotation of a pod that lists what it may send from beside its own addresses: ranges separated by
/// commas, or `any`.
pub const ALLOWED_SOURCES: &str = "policy.fairlead.io/allowed-sources";

/// The annotation by which the kubelet knows the mirror of a static pod (`kubetypes.ConfigMirrorAnnotationKey`): the
/// static pod's UID.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// A `v1` Pod, only the fields Fairlead uses.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct PodObject {
    #[serde(default, deserialize_with = "light")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

resource!(PodObject, NamespaceResourceScope, "", "Pod", "pods");

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    host_network: Option<bool>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    ports: Option<Vec<ContainerPort>>,
    restart_policy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    #[serde(rename = "containerPort")]
    number: i64,
    protocol: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Status {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

impl PodObject {
    /// Its namespace and name.
    #[must_use]
    pub fn name(&self, shared: &mut Shared) -> Name {
        crate::name(&self.metadata, shared)
    }

    /// Its UID as the container runtime knows it: of a static pod the API server has a mirror with a UID of its own.
    #[must_use]
    pub fn uid(&self) -> &str {
        let annotations = self.metadata.annotations.as_ref();
        let mirrored = annotations.and_then(|all| all.get(MIRROR));
        mirrored
            .or(self.metadata.uid.as_ref())
            .map_or("", String::as_str)
    }

    /// The domain's pod, and what in it could not be used.
    #[must_use]
    pub fn to_pod(&self, shared: &mut Shared) -> (Pod, Vec<Fault>) {
        let name = self.name(shared);
        let annotations = self.metadata.annotations.as_ref();
        let told = annotations.and_then(|all| all.get(ALLOWED_SOURCES));
        let mut faults = Vec::new();
        let sources = told.map_or(Sources::Own, |text| {
            sources(text).unwrap_or_else(|| {
                faults.push(Fault {
                    object: format!("pod {}/{}", name.namespace, name.name),
                    field: format!("annotation {ALLOWED_SOURCES}"),
                    value: format!("{text:?}"),
                    expected: "any, or address ranges separated by commas",
                    effect: "the pod may send from its own addresses only",
                });
                Sources::Own
            })
        });
        let phase = self.status.phase.as_deref();
        let pod = Pod {
            uid: self.uid().into(),
            node: shared.text(self.spec.node_name.as_deref().unwrap_or_default()),
            labels: shared.labels(self.metadata.labels.iter().flatten()),
            addresses: self.addresses(),
            host_network: self.spec.host_network.unwrap_or_default(),
            finished: matches!(phase, Some("Succeeded" | "Failed")),
            named_ports: self.named_ports(shared),
            sources,
            name,
        };
        (pod, faults)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        let all = self
            .status
            .pod_ips
            .iter()
            .flatten()
            .map(|ip| ip.ip.as_str());
        let mut addresses: Vec<IpAddr> = all
            .chain(self.status.pod_ip.as_deref())
            .filter_map(|text| text.parse().ok())
            .collect();
        // `podIP` is the first of `podIPs`, and all there is in a file that names no others.
        let first = addresses.first().copied();
        if addresses.len() > 1 && addresses.last().copied() == first {
            addresses.pop();
        }
        addresses.shrink_to_fit();
        addresses
    }

    /// The first port of each name and protocol counts, and those of init containers that run on beside the
    /// others do too.
    fn named_ports(&self, shared: &mut Shared) -> std::sync::Arc<[NamedPort]> {
        let sidecars = self.spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let containers = self.spec.containers.iter().flatten().chain(sidecars);
        let mut ports: Vec<NamedPort> = Vec::new();
        for port in containers.flat_map(|container| container.ports.iter().flatten()) {
            let name = port.name.as_deref().filter(|name| !name.is_empty());
            let protocol = protocol(port.protocol.as_deref());
            let number = u16::try_from(port.number).ok();
            if let (Some(name), Some(protocol), Some(port)) = (name, protocol, number) {
                let known = |p: &NamedPort| (&*p.name, p.protocol) == (name, protocol);
                if !ports.iter().any(known) {
                    ports.push(NamedPort {
                        name: shared.text(name),
                        protocol,
                        port,
                    });
                }
            }
        }
        shared.ports(ports)
    }
}

/// TCP unless told; `None` for one without ports.
pub(crate) fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text {
        None | Some("TCP" | "") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

fn sources(text: &str) -> Option<Sources> {
    if text.trim() == "any" {
        return Some(Sources::Any);
    }
    let ranges = text.split(',').map(|range| {
        let range = range.trim().parse::<IpNetwork>().ok()?;
        Some(crate::masked(range))
    });
    let ranges: Vec<IpNetwork> = ranges.collect::<Option<_>>()?;
    Some(Sources::Also(ranges.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(object: Value) -> (Pod, Vec<Fault>) {
        let object: PodObject = serde_json::from_value(object).unwrap();
        object.to_pod(&mut Shared::default())
    }

    #[test]
    fn a_whole_pod_keeps_what_policies_look_at() {
        let (pod, faults) = pod(json!({
            "metadata": {
                "name": "web-0", "namespace": "shop", "uid": "u1", "labels": {"app": "web"},
                "annotations": {"policy.fairlead.io/allowed-sources": "10.0.0.5/32, fd00::1/64"},
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
            },
            "spec": {
                "nodeName": "n1",
                "containers": [
                    {"name": "a", "image": "x", "ports": [
                        {"name": "http", "containerPort": 8080},
                        {"containerPort": 9090},
                        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
                    ]},
                    {"name": "b", "ports": [{"name": "http", "containerPort": 8081}]},
                ],
                "initContainers": [
                    {"name": "once", "ports": [{"name": "gone", "containerPort": 1}]},
                    {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "admin", "containerPort": 15000}]},
                ],
            },
            "status": {"phase": "Running", "podIP": "10.244.1.5", "podIPs": [{"ip": "10.244.1.5"}, {"ip": "fd00::5"}]},
        }));
        assert!(faults.is_empty());
        assert_eq!(
            (&*pod.name.namespace, &*pod.name.name, &*pod.uid.to_string()),
            ("shop", "web-0", "u1")
        );
        assert_eq!(pod.labels.get("app").map(|value| &**value), Some("web"));
        let addresses: Vec<_> = pod.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.244.1.5", "fd00::5"]);
        let ports: Vec<_> = pod.named_ports.iter().map(|p| (&*p.name, p.port)).collect();
        assert_eq!(ports, [("http", 8080), ("dns", 53), ("admin", 15000)]);
        assert!(!pod.host_network && !pod.finished);
        let ranges = ["10.0.0.5/32", "fd00::/64"].map(|range| range.parse().unwrap());
        assert_eq!(pod.sources, Sources::Also(ranges.into()));
    }

    #[test]
    fn a_pod_that_was_just_made_is_a_pod() {
        let (pod, _) = pod(json!({"metadata": {"name": "a", "namespace": "b"}}));
        assert!(pod.addresses.is_empty() && pod.node.is_empty() && pod.named_ports.is_empty());
        assert_eq!(pod.sources, Sources::Own);
    }

    #[test]
    fn a_static_pod_has_the_uid_that_its_runtime_knows() {
        let (pod, _) = pod(json!({"metadata": {
            "name": "a", "namespace": "b", "uid": "mirror", "annotations": {MIRROR: "static"},
        }}));
        assert_eq!(pod.uid, "static".into());
    }

    #[test]
    fn one_address_alone_counts() {
        let (pod, _) = pod(json!({
            "metadata": {"name": "a", "namespace": "b"}, "spec": {"hostNetwork": true},
            "status": {"phase": "Failed", "podIP": "10.0.0.1"},
        }));
        assert_eq!(pod.addresses.len(), 1);
        assert!(pod.finished && pod.host_network);
    }

    #[test]
    fn a_wrong_annotation_is_told_and_opens_nothing() {
        let with = |text: &str| {
            pod(
                json!({"metadata": {"name": "a", "namespace": "b", "annotations": {ALLOWED_SOURCES: text}}}),
            )
        };
        let (wrong, faults) = with("10.0.0.0/8 or so");
        assert_eq!(wrong.sources, Sources::Own);
        assert_eq!(
            faults[0].to_string(),
            "pod b/a: annotation policy.fairlead.io/allowed-sources is \"10.0.0.0/8 or so\", expected any, or \
             address ranges separated by commas; the pod may send from its own addresses only"
        );
        assert_eq!(with("any").0.sources, Sources::Any);
    }
}
