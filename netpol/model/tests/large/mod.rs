//! A large cluster, whose pods share what pods of one deployment share.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::cluster::{
    IpBlock, Labels, Name, NamedPort, Namespace, Peer, Pod, Policy, Port, Ports, Protocol,
    Requirement, Rule, Selector, Sources,
};
use fairlead_netpol_model::tables::{Attachment, Link};

const NAMESPACES: usize = 100;
const POLICIES: usize = 1000;

/// Pods of the node that is looked at.
pub(crate) const HERE: usize = 110;

/// Strings and labels that many share, as the agent makes them.
pub(crate) struct Shared {
    namespaces: Vec<Arc<str>>,
    labels: Vec<Labels>,
    ports: Arc<[NamedPort]>,
    nodes: Vec<Arc<str>>,
}

impl Shared {
    pub(crate) fn new(pods: usize) -> Self {
        let mut texts: HashMap<String, Arc<str>> = HashMap::new();
        let mut text = |text: String| -> Arc<str> {
            let known = texts.entry(text);
            Arc::clone(known.or_insert_with_key(|text| text.as_str().into()))
        };
        let labels = |app: usize| -> Labels {
            let pairs = [
                ("app", format!("app-{app}")),
                ("tier", format!("tier-{}", app % 3)),
                ("team", format!("team-{}", app % 7)),
                ("pod-template-hash", format!("{app:010x}")),
                ("version", "v1".to_owned()),
            ];
            let pairs = pairs
                .into_iter()
                .map(|(key, value)| (text(key.into()), text(value)));
            pairs.collect()
        };
        let web = NamedPort {
            name: "web".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        };
        Self {
            labels: (0..pods / 10).map(labels).collect(),
            namespaces: (0..NAMESPACES)
                .map(|at| format!("namespace-{at}").into())
                .collect(),
            ports: [web].into(),
            nodes: (0..pods / 100)
                .map(|at| format!("node-{at}").into())
                .collect(),
        }
    }

    pub(crate) fn pod(&self, at: usize) -> Pod {
        let low = u32::try_from(at).unwrap();
        Pod {
            name: Name {
                namespace: Arc::clone(&self.namespaces[at % NAMESPACES]),
                name: format!("app-{}-5d9c7b6f44-{at:05}", at / 10).into(),
            },
            uid: format!("{at:08x}-1111-2222-3333-444444444444").into(),
            node: Arc::clone(&self.nodes[at % self.nodes.len()]),
            labels: self.labels[at / 10].clone(),
            addresses: vec![IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + low))],
            host_network: false,
            finished: false,
            named_ports: Arc::clone(&self.ports),
            sources: Sources::Own,
        }
    }
}

fn is(key: &str, value: String) -> Selector {
    Selector {
        requirements: vec![Requirement::In(key.into(), vec![value.into()])],
    }
}

pub(crate) fn policy(at: usize) -> Policy {
    let port = |which| Port {
        protocol: Protocol::Tcp,
        which,
    };
    let near = Peer::Pods {
        namespaces: None,
        pods: is("team", format!("team-{}", at % 7)),
    };
    let far = Peer::Pods {
        namespaces: Some(is("name", format!("namespace-{}", at * 7 % NAMESPACES))),
        pods: is("tier", format!("tier-{}", at % 3)),
    };
    let block = Peer::Block(IpBlock {
        cidr: format!("10.{}.0.0/16", at % 50).parse().unwrap(),
        except: vec![format!("10.{}.{}.0/24", at % 50, at % 256).parse().unwrap()],
    });
    let ports = vec![port(Ports::Range(80, 80)), port(Ports::Named("web".into()))];
    Policy {
        name: Name {
            namespace: format!("namespace-{}", at % NAMESPACES).into(),
            name: format!("policy-{at}").into(),
        },
        pods: is("tier", format!("tier-{}", at % 3)),
        ingress: Some(vec![
            Rule {
                peers: vec![near.clone(), far],
                ports,
            },
            Rule {
                peers: vec![block],
                ports: vec![port(Ports::Range(
                    9000,
                    9000 + u16::try_from(at % 50).unwrap(),
                ))],
            },
        ]),
        egress: at.is_multiple_of(2).then(|| {
            vec![Rule {
                peers: vec![near],
                ports: vec![port(Ports::Named("web".into()))],
            }]
        }),
    }
}

pub(crate) fn attach(compiler: &mut Compiler, pod: &Pod, at: usize) {
    let index = u32::try_from(at).unwrap() + 1;
    let link = Link::Routed {
        pod_mac: [2, 0, 0, 0, 0, 1],
        host_mac: [2, 0, 0, 0, 0, 2],
    };
    let attachment = Attachment {
        addresses: pod.addresses.clone(),
        link,
    };
    compiler.attach(index, pod.name.clone(), pod.uid.clone(), attachment);
}

pub(crate) fn pods() -> usize {
    let wanted = std::env::var("SCALE_PODS").ok();
    wanted.map_or(10_000, |pods| pods.parse().unwrap())
}

/// Tells of the namespaces and policies.
pub(crate) fn tell_policies(compiler: &mut Compiler, shared: &Shared) {
    for name in &shared.namespaces {
        compiler.set_namespace(Namespace {
            name: Arc::clone(name),
            labels: Labels::from_iter([("name", name.to_string())]),
        });
    }
    for at in 0..POLICIES {
        compiler.set_policy(policy(at));
    }
}

/// Tells of the pods, and that some of them are here.
pub(crate) fn tell_pods(compiler: &mut Compiler, shared: &Shared, pods: usize) {
    for at in 0..pods {
        compiler.set_pod(shared.pod(at));
    }
    for at in 0..HERE {
        attach(compiler, &shared.pod(at), at);
    }
}

/// Takes updates until nothing is left to write.
pub(crate) fn settle(compiler: &mut Compiler) {
    while !compiler.is_settled() {
        compiler.take_update();
    }
}

/// The pod with the labels of another deployment.
pub(crate) fn relabelled(shared: &Shared, at: usize) -> Pod {
    let mut pod = shared.pod(at);
    pod.labels = shared.labels[(at / 10 + 1) % shared.labels.len()].clone();
    pod
}
