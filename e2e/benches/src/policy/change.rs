//! One pod's labels change: from the watch's event until the last write that changes verdicts is made.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use fairlead_e2e_lab::{BpfFolder, Namespace};
use fairlead_netpol_datapath::{Config, Datapath, Sizes};
use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::cluster::{
    IpBlock, Name, Namespace as Scope, Peer, Pod, Policy, Port, Ports, Protocol, Requirement, Rule,
    Selector, Sources,
};
use fairlead_netpol_model::tables::{Attachment, Link};

use super::trips::real_time;
use crate::sample::Sample;

/// Namespaces, and kinds of pods in each.
const SCOPES: u32 = 100;
const APPS: u32 = 20;
/// Pods of the node that is looked at.
const LOCAL: u32 = 110;

/// What was measured.
#[derive(Debug, Clone)]
pub(crate) struct ChangeRow {
    pub(crate) policies: u32,
    pub(crate) pods: u32,
    /// A pod somewhere gets another label.
    pub(crate) anywhere: Sample,
    /// A pod of this node does.
    pub(crate) here: Sample,
    /// All from nothing: compiled, and written.
    pub(crate) whole: Sample,
}

/// Changes labels of `changes` pods, one after the other. What others do on the machine does not count.
pub(super) fn measure(policies: u32, pods: u32, changes: u32) -> Result<ChangeRow> {
    let node = Namespace::new("node")?;
    node.run(|| {
        real_time()?;
        let pins = BpfFolder::new()?;
        let config = Config {
            dir: pins.path().to_owned(),
            sizes: Sizes::default(),
        };
        let mut datapath = Datapath::open(&config)?;
        let mut compiler = Compiler::new();
        tell(&mut compiler, policies, pods);
        let mut row = ChangeRow {
            policies,
            pods,
            anywhere: Sample::default(),
            here: Sample::default(),
            whole: Sample::default(),
        };
        let start = Instant::now();
        let _ = compiler.take_update();
        datapath.resync(&compiler.tables())?;
        row.whole.walls.push(start.elapsed());
        let mut random = fastrand::Rng::with_seed(1);
        for change in 0..changes {
            let here = change.is_multiple_of(2);
            let number = random.u32(..if here { LOCAL.min(pods) } else { pods });
            let pod = pod(number, random.u32(..APPS));
            let start = Instant::now();
            compiler.set_pod(pod);
            datapath.apply(&compiler.take_update())?;
            let sample = if here {
                &mut row.here
            } else {
                &mut row.anywhere
            };
            sample.walls.push(start.elapsed());
            while !compiler.is_settled() {
                datapath.apply(&compiler.take_update())?;
            }
        }
        Ok(row)
    })?
}

/// A cluster in which every namespace has policies of its own for each kind of its pods.
fn tell(compiler: &mut Compiler, policies: u32, pods: u32) {
    for scope in 0..SCOPES {
        compiler.set_namespace(Scope {
            name: format!("ns{scope}").into(),
            labels: [("team", format!("team{}", scope % 10).as_str())]
                .into_iter()
                .collect(),
        });
    }
    for number in 0..pods {
        compiler.set_pod(pod(number, number / SCOPES % APPS));
    }
    for number in 0..policies {
        compiler.set_policy(policy(number));
    }
    for number in 0..LOCAL.min(pods) {
        let attachment = Attachment {
            addresses: vec![address(number)],
            link: Link::Routed {
                pod_mac: [2, 0, 0, 0, 0, 1],
                host_mac: [2, 0, 0, 0, 0, 2],
            },
        };
        compiler.attach(number + 2, name(number), "", attachment);
    }
}

fn address(number: u32) -> IpAddr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 64, 0, 0)) + number).into()
}

fn name(number: u32) -> Name {
    Name {
        namespace: format!("ns{}", number % SCOPES).into(),
        name: format!("pod{number}").into(),
    }
}

fn pod(number: u32, app: u32) -> Pod {
    Pod {
        name: name(number),
        uid: format!("{number}").into(),
        node: "bench".into(),
        labels: [("app", format!("app{app}").as_str()), ("tier", "web")]
            .into_iter()
            .collect(),
        addresses: vec![address(number)],
        host_network: false,
        finished: false,
        named_ports: Arc::new([]),
        sources: Sources::Own,
    }
}

fn has(key: &str, value: String) -> Selector {
    Selector {
        requirements: vec![Requirement::In(key.into(), vec![value.into()])],
    }
}

/// Lets two kinds of pods in, one of them from another team, and one block; and out to anywhere on two ports.
fn policy(number: u32) -> Policy {
    let app = number / SCOPES % APPS;
    let port = |port| Port {
        protocol: Protocol::Tcp,
        which: Ports::Range(port, port),
    };
    let from = vec![
        Peer::Pods {
            namespaces: None,
            pods: has("app", format!("app{}", (app + 1) % APPS)),
        },
        Peer::Pods {
            namespaces: Some(has("team", format!("team{}", number % 10))),
            pods: has("app", format!("app{}", (app + 2) % APPS)),
        },
        Peer::Block(IpBlock {
            cidr: ipnetwork::IpNetwork::from(IpAddr::from(Ipv4Addr::from(0xc612_0000 + number))),
            except: Vec::new(),
        }),
    ];
    Policy {
        name: Name {
            namespace: format!("ns{}", number % SCOPES).into(),
            name: format!("policy{number}").into(),
        },
        pods: has("app", format!("app{app}")),
        ingress: Some(vec![Rule {
            peers: from,
            ports: vec![port(8080)],
        }]),
        egress: Some(vec![Rule {
            peers: Vec::new(),
            ports: vec![port(443), port(5432)],
        }]),
    }
}
