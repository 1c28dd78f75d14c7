//! Our programs on a node of the bench: the compiler's word of a cluster, written into maps of its own.

use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::LinkName;
use fairlead_e2e_lab::{BpfFolder, Namespace};
use fairlead_netpol_datapath::{Config, Datapath, Settings, Sizes};
use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::cluster::{
    IpBlock, Labels, Name, Namespace as Scope, Peer, Pod as Object, Policy, Port, Ports, Protocol,
    Requirement, Rule, Selector, Sources,
};
use fairlead_netpol_model::tables::{Attachment, Link};
use ipnetwork::IpNetwork;

use super::filters::stranger;
use super::way::Pod;
use super::{By, PORT, Subject};

/// The namespace of all pods.
const NAMESPACE: &str = "bench";

/// The data path of a node, until it is dropped.
#[derive(Debug)]
pub(super) struct Enforced {
    _datapath: Datapath,
    _pins: BpfFolder,
}

impl Enforced {
    /// Puts the policy on the node of the client and on that of the server, which may be the same one.
    pub(super) fn put(subject: Subject, ends: [(&Namespace, &Pod); 2]) -> Result<Vec<Self>> {
        let mut nodes = vec![ends[0].0];
        if ends[1].0.path() != ends[0].0.path() {
            nodes.push(ends[1].0);
        }
        nodes
            .into_iter()
            .map(|node| node.run(|| Self::on(node, subject, ends))?)
            .collect()
    }

    fn on(node: &Namespace, subject: Subject, ends: [(&Namespace, &Pod); 2]) -> Result<Self> {
        let pins = BpfFolder::new()?;
        let config = Config {
            dir: pins.path().to_owned(),
            sizes: Sizes::default(),
        };
        let mut datapath = Datapath::open(&config)?;
        let shortcut = subject.by != By::OursLong;
        datapath.set_settings(Settings {
            shortcut,
            sample: 0,
        })?;
        let mut compiler = Compiler::new();
        tell(&mut compiler, subject, ends.map(|(_, pod)| pod));
        let mut netlink = node.netlink()?;
        let mut links = Vec::new();
        for (at, pod) in ends.into_iter().zip(["client", "server"]) {
            if at.0.path() != node.path() {
                continue;
            }
            let link = netlink.link(&LinkName::new(&at.1.link)?)?;
            let inner = at.1.ns.netlink()?.link(&"eth0".parse()?)?;
            let attachment = Attachment {
                addresses: vec![at.1.ip],
                link: Link::Routed {
                    pod_mac: inner.mac.context("no MAC address")?.0,
                    host_mac: link.mac.context("no MAC address")?.0,
                },
            };
            compiler.attach(link.index.0, name(pod), "", attachment);
            links.push(link.index.0);
        }
        let _ = compiler.take_update();
        datapath.resync(&compiler.tables())?;
        for link in links {
            datapath.attach_pod(link)?;
        }
        if let Ok(uplink) = netlink.index_of(&LinkName::new("eth0")?) {
            datapath.attach_wire(uplink.0)?;
        }
        Ok(Self {
            _datapath: datapath,
            _pins: pins,
        })
    }
}

/// Half of the rules in front name a pod that exists, half an address.
fn tell(compiler: &mut Compiler, subject: Subject, [client, server]: [&Pod; 2]) {
    compiler.set_namespace(Scope {
        name: NAMESPACE.into(),
        labels: Labels::default(),
    });
    compiler.set_pod(object("client", "client", client.ip));
    compiler.set_pod(object("server", "server", server.ip));
    if subject.by == By::NoPolicy {
        return;
    }
    let mut rules = Vec::new();
    for number in 0..subject.rules {
        let address = IpAddr::from(stranger(number));
        if number.is_multiple_of(2) {
            rules.push(rule(Peer::Block(IpBlock {
                cidr: IpNetwork::from(address),
                except: Vec::new(),
            })));
        } else {
            let app = format!("app{number}");
            compiler.set_pod(object(&app, &app, address));
            rules.push(rule(pods(&app)));
        }
    }
    rules.push(rule(pods("client")));
    compiler.set_policy(Policy {
        name: name("policy"),
        pods: of("server"),
        ingress: Some(rules),
        egress: None,
    });
}

fn name(name: &str) -> Name {
    Name {
        namespace: NAMESPACE.into(),
        name: name.into(),
    }
}

fn object(pod: &str, app: &str, address: IpAddr) -> Object {
    Object {
        name: name(pod),
        uid: pod.into(),
        node: "bench".into(),
        labels: [("app", app)].into_iter().collect(),
        addresses: vec![address],
        host_network: false,
        finished: false,
        named_ports: Arc::new([]),
        sources: Sources::Own,
    }
}

fn of(app: &str) -> Selector {
    Selector {
        requirements: vec![Requirement::In("app".into(), vec![app.into()])],
    }
}

fn pods(app: &str) -> Peer {
    Peer::Pods {
        namespaces: None,
        pods: of(app),
    }
}

fn rule(peer: Peer) -> Rule {
    Rule {
        peers: vec![peer],
        ports: vec![Port {
            protocol: Protocol::Tcp,
            which: Ports::Range(PORT, PORT),
        }],
    }
}
