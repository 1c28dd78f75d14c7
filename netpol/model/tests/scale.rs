//! A large cluster: a change writes only what it changes. Run with `--nocapture` to see what it takes; at 100,000 pods
//! with `SCALE_PODS`.

#![expect(
    clippy::unwrap_used,
    reason = "numbers that do not fit and files that cannot be read fail the test"
)]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::cluster::{
    IpBlock, Labels, Name, NamedPort, Namespace, Peer, Pod, Policy, Port, Ports, Protocol,
    Requirement, Rule, Selector, Sources,
};
use fairlead_netpol_model::tables::{Attachment, Link, Write};

const NAMESPACES: usize = 100;
const POLICIES: usize = 1000;
const HERE: usize = 110;

/// Strings and labels that many share, as the agent makes them.
struct Shared {
    namespaces: Vec<Arc<str>>,
    labels: Vec<Labels>,
    ports: Arc<[NamedPort]>,
    nodes: Vec<Arc<str>>,
}

impl Shared {
    fn new(pods: usize) -> Self {
        let labels = |app: usize| -> Labels {
            let pairs = [
                ("app", format!("app-{app}")),
                ("tier", format!("tier-{}", app % 3)),
                ("team", format!("team-{}", app % 7)),
                ("pod-template-hash", format!("{app:010x}")),
                ("version", "v1".to_owned()),
            ];
            pairs.into_iter().collect()
        };
        let web = NamedPort {
            name: "web".into(),
            protocol: Protocol::Tcp,
            port: 8080,
        };
        Self {
            namespaces: (0..NAMESPACES)
                .map(|at| format!("namespace-{at}").into())
                .collect(),
            labels: (0..pods / 10).map(labels).collect(),
            ports: [web].into(),
            nodes: (0..pods / 100)
                .map(|at| format!("node-{at}").into())
                .collect(),
        }
    }

    fn pod(&self, at: usize) -> Pod {
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

fn policy(at: usize) -> Policy {
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

/// CPU time of this thread in microseconds: others may be using the machine.
fn cpu() -> u128 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: u128 = schedstat.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1000
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn attach(compiler: &mut Compiler, pod: &Pod, at: usize) {
    let index = u32::try_from(at).unwrap() + 1;
    let link = Link::Routed {
        pod_mac: [2, 0, 0, 0, 0, 1],
        host_mac: [2, 0, 0, 0, 0, 2],
    };
    let attachment = Attachment {
        addresses: pod.addresses.clone(),
        link,
    };
    compiler.attach(index, pod.name.clone(), &pod.uid, attachment);
}

fn told(what: &str, mut times: Vec<u128>) {
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    eprintln!("{what}: p50 {p50} µs, p99 {p99} µs");
}

fn pods() -> usize {
    let wanted = std::env::var("SCALE_PODS").ok();
    wanted.map_or(10_000, |pods| pods.parse().unwrap())
}

/// The cluster without anything attached.
fn cluster(shared: &Shared, pods: usize) -> Compiler {
    let mut compiler = Compiler::new();
    for name in &shared.namespaces {
        compiler.set_namespace(Namespace {
            name: Arc::clone(name),
            labels: Labels::from_iter([("name", name.to_string())]),
        });
    }
    for at in 0..pods {
        compiler.set_pod(shared.pod(at));
    }
    compiler
}

/// Looks at a compiler that starts.
fn starts(compiler: &mut Compiler, shared: &Shared) {
    let start = cpu();
    for at in 0..HERE {
        attach(compiler, &shared.pod(at), at);
    }
    let writes = compiler.take_update().writes.len();
    let took = (cpu() - start) / 1000;
    eprintln!("first update: {writes} writes, {took} ms of CPU");
    let start = cpu();
    let cells = compiler.tables().cells.len();
    let took = (cpu() - start) / 1000;
    eprintln!("tables: {cells} cells, {took} ms of CPU");
    while !compiler.is_settled() {
        compiler.take_update();
    }
}

/// The pod with the labels of another deployment.
fn relabelled(shared: &Shared, at: usize) -> Pod {
    let mut pod = shared.pod(at);
    pod.labels = shared.labels[(at / 10 + 1) % shared.labels.len()].clone();
    pod
}

/// Something that the compiler is told.
type Change<'a> = Box<dyn FnOnce(&mut Compiler) + 'a>;

/// How long each change takes to compile, from the event to the writes.
fn timed(what: &str, compiler: &mut Compiler, changes: Vec<Change<'_>>) {
    let mut times = Vec::new();
    for change in changes {
        let start = Instant::now();
        change(compiler);
        let writes = compiler.take_update().writes;
        times.push(start.elapsed().as_micros());
        assert!(writes.len() < 20_000, "{what}: {} writes", writes.len());
    }
    told(what, times);
}

#[test]
fn a_change_in_a_large_cluster_writes_only_what_it_changes() {
    let pods = pods();
    let shared = Shared::new(pods);
    let before = resident();
    let mut compiler = cluster(&shared, pods);
    eprintln!("{} B a pod", (resident() - before) / pods);
    for at in 0..POLICIES {
        compiler.set_policy(policy(at));
    }
    starts(&mut compiler, &shared);
    eprintln!("{:?}", compiler.counts());
    eprintln!("{} MB resident", (resident() - before) >> 20);

    let mut times = Vec::new();
    for at in (0..2000).map(|at| 2 * HERE + at * 7 % (pods - 2 * HERE)) {
        let pod = relabelled(&shared, at);
        let start = Instant::now();
        compiler.set_pod(pod);
        let writes = compiler.take_update().writes;
        times.push(start.elapsed().as_micros());
        let flip = |write: &&Write| matches!(write, Write::Address(..) | Write::Endpoint(..));
        let flips = writes.iter().filter(flip).count();
        assert!(flips <= 1, "{flips} flips for one pod elsewhere");
        assert!(writes.len() < 1000, "{} writes", writes.len());
    }
    told("label change of a pod elsewhere", times);
}

#[test]
fn changes_of_a_node_in_a_large_cluster_do_not_write_all_of_it() {
    let pods = pods();
    let shared = &Shared::new(pods);
    let mut compiler = cluster(shared, pods);
    for at in 0..POLICIES {
        compiler.set_policy(policy(at));
    }
    starts(&mut compiler, shared);
    let compiler = &mut compiler;
    let mut changes: Vec<Change<'_>> = Vec::new();
    for at in 0..HERE {
        changes.push(Box::new(move |to| to.set_pod(relabelled(shared, at))));
    }
    timed("label change of a pod here", compiler, changes);
    let mut changes: Vec<Change<'_>> = Vec::new();
    for at in HERE..2 * HERE {
        changes.push(Box::new(move |to| attach(to, &shared.pod(at), at)));
    }
    timed("a pod starts here", compiler, changes);
    let mut changes: Vec<Change<'_>> = Vec::new();
    for at in 0..100 {
        let mut other = policy(at);
        other.ingress = policy(at + 1).ingress;
        changes.push(Box::new(move |to| to.set_policy(other)));
    }
    timed("a policy changes", compiler, changes);
    eprintln!("{:?}", compiler.counts());
}
