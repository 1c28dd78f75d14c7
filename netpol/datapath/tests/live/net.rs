//! Two pods on a node, a router with a narrow link behind it, and a host there; both families.
//!
//! ```text
//! A ── fla ┐
//!          node ── up0 ── router ── (MTU 1400) ── far
//! B ── flb ┘
//! ```

use std::net::{IpAddr, SocketAddr};

use fairlead_cni_netlink::nft::Batch;
use fairlead_e2e_lab::{BpfFolder, Namespace};
use fairlead_netpol_datapath::{Config, Datapath, Hook, Reason, Sizes, node_table};
use fairlead_netpol_model::cluster::Sources;
use fairlead_netpol_model::tables::{
    Address, Attachment, ClassId, Endpoint, IfIndex, Link, Set, SetId, Tables,
};

/// The classes of A and B.
pub(crate) const CLASS_A: ClassId = ClassId(0xa);
pub(crate) const CLASS_B: ClassId = ClassId(0xb);

/// Of the two families: v4, v6.
pub(crate) const FAR: [&str; 2] = ["198.51.100.2", "fd03::2"];
pub(crate) const ROUTER: [&str; 2] = ["192.0.2.2", "fd02::2"];
pub(crate) const NODE: [&str; 2] = ["192.0.2.1", "fd02::1"];
pub(crate) const POD_RANGES: [&str; 2] = ["10.1.0.0/16", "fd01::/64"];

/// MTU of the link between router and far, which nobody else knows.
pub(crate) const NARROW: u32 = 1400;

const FLA: IfIndex = 11;
const FLB: IfIndex = 12;
const UP: IfIndex = 20;

pub(crate) struct Net {
    pub(crate) node: Namespace,
    pub(crate) a: Namespace,
    pub(crate) b: Namespace,
    pub(crate) router: Namespace,
    pub(crate) far: Namespace,
    pub(crate) datapath: Datapath,
    _folder: BpfFolder,
}

/// A set with cells and prefixes for no peer but those that a test adds.
pub(crate) fn set(id: u64) -> Set {
    Set {
        id: SetId(id),
        cells: true,
        prefixes: true,
        ..Set::DENY
    }
}

pub(crate) fn at(ip: &str, port: u16) -> SocketAddr {
    (ip.parse::<IpAddr>().unwrap(), port).into()
}

/// A's and B's addresses.
pub(crate) fn pod(n: u32) -> [String; 2] {
    [format!("10.1.0.{n}"), format!("fd01::{n}")]
}

/// Runs lines of `ip` commands.
pub(crate) fn ip(ns: &Namespace, lines: &str) {
    let file = ns.path().with_extension("ip");
    std::fs::write(&file, lines).unwrap();
    ns.output("ip", &["-batch", file.to_str().unwrap()])
        .unwrap();
}

impl Net {
    pub(crate) fn new() -> Self {
        let [node, a, b, router, far] =
            ["node", "a", "b", "router", "far"].map(|name| Namespace::new(name).unwrap());
        for ns in [&node, &router, &a, &b, &far] {
            ns.loopback_up().unwrap();
        }
        for ns in [&node, &router] {
            ns.output(
                "sysctl",
                &[
                    "-qw",
                    "net.ipv4.ip_forward=1",
                    "net.ipv6.conf.all.forwarding=1",
                ],
            )
            .unwrap();
        }
        attach(&node, &a, "fla", FLA, 1);
        attach(&node, &b, "flb", FLB, 2);
        cable(&node, &router, &far);
        let folder = BpfFolder::new().unwrap();
        let config = Config {
            dir: folder.path().join("fairlead"),
            sizes: Sizes {
                flows: 1024,
                new_flows: 1024,
                addresses: 64,
                cells: 64,
                prefixes: 64,
                ports: 64,
                sets: 64,
                endpoints: 64,
                fragments: 64,
                events: 16_384,
            },
        };
        let mut datapath = node.run(|| Datapath::open(&config)).unwrap().unwrap();
        datapath.resync(&Tables::default()).unwrap();
        for pod in [FLA, FLB] {
            datapath.attach_pod(pod).unwrap();
        }
        datapath.attach_wire(UP).unwrap();
        judge_input(&node, &datapath);
        Self {
            node,
            a,
            b,
            router,
            far,
            datapath,
            _folder: folder,
        }
    }

    /// Ingress and egress of A, and of B; `more` adds cells and prefixes.
    pub(crate) fn policy(
        &mut self,
        a: (Option<Set>, Option<Set>),
        b: (Option<Set>, Option<Set>),
        more: impl FnOnce(&mut Tables),
    ) {
        let mut tables = Tables::default();
        for (index, n, class, sets) in [(FLA, 1, CLASS_A, a), (FLB, 2, CLASS_B, b)] {
            let (pod_mac, host_mac) = macs(n);
            let addresses: Vec<IpAddr> = pod(n).iter().map(|ip| ip.parse().unwrap()).collect();
            for ip in &addresses {
                let local = Some((index, pod_mac, host_mac));
                tables.addresses.insert(*ip, Address { class, local });
            }
            let attachment = Attachment {
                addresses,
                link: Link::Routed { pod_mac, host_mac },
            };
            let endpoint = Endpoint {
                attachment,
                ingress: sets.0,
                egress: sets.1,
                sources: Sources::Own,
            };
            tables.endpoints.insert(index, endpoint);
        }
        more(&mut tables);
        self.datapath.resync(&tables).unwrap();
    }

    pub(crate) fn count(&self, hook: Hook, reason: Reason) -> u64 {
        let drops = self.datapath.drops().unwrap();
        let of =
            |drops: &&fairlead_netpol_datapath::Drops| drops.hook == hook && drops.reason == reason;
        drops.iter().filter(of).map(|drops| drops.packets).sum()
    }
}

fn macs(n: u32) -> ([u8; 6], [u8; 6]) {
    let n = u8::try_from(n).unwrap();
    ([2, 0, 0, 0, 1, n], [2, 0, 0, 0, 2, n])
}

/// A routed pod as the plugin makes it.
fn attach(node: &Namespace, pod: &Namespace, name: &str, index: IfIndex, n: u32) {
    let [v4, v6] = self::pod(n);
    let (inside, host) = (
        format!("02:00:00:00:01:0{n}"),
        format!("02:00:00:00:02:0{n}"),
    );
    let path = pod.path().display();
    ip(
        node,
        &format!(
            "link add {name} index {index} address {host} type veth peer name eth0 address {inside} netns {path}
             link set {name} up\n"
        ),
    );
    ip(
        pod,
        &format!(
            "link set eth0 up
             addr add {v4}/32 dev eth0
             addr add {v6}/128 dev eth0 nodad
             neigh add 169.254.1.1 lladdr {host} dev eth0
             neigh add fe80::1 lladdr {host} dev eth0
             route add 169.254.1.1 dev eth0
             route add default via 169.254.1.1
             route add default via fe80::1 dev eth0\n"
        ),
    );
    ip(
        node,
        &format!(
            "neigh add {v4} lladdr {inside} dev {name}
             neigh add {v6} lladdr {inside} dev {name}
             route add {v4} dev {name}
             route add {v6} dev {name}\n"
        ),
    );
}

fn cable(node: &Namespace, router: &Namespace, far: &Namespace) {
    let (to_router, to_far) = (router.path().display(), far.path().display());
    ip(
        node,
        &format!(
            "link add up0 index {UP} type veth peer name down0 netns {to_router}
             link set up0 up
             addr add {}/24 dev up0
             addr add {}/64 dev up0 nodad\n",
            NODE[0], NODE[1]
        ),
    );
    ip(
        router,
        &format!(
            "link add far0 mtu {NARROW} type veth peer name eth0 netns {to_far}
             link set down0 up
             link set far0 up
             addr add {}/24 dev down0
             addr add {}/64 dev down0 nodad
             addr add 198.51.100.1/24 dev far0
             addr add fd03::1/64 dev far0 nodad
             route add {} via {}
             route add {} via {}\n",
            ROUTER[0], ROUTER[1], POD_RANGES[0], NODE[0], POD_RANGES[1], NODE[1]
        ),
    );
    // Far does not know that its link is narrow, so it does not say so in its SYN.
    ip(
        far,
        &format!(
            "link set eth0 mtu 1500 up
             addr add {}/24 dev eth0
             addr add {}/64 dev eth0 nodad
             route add default via 198.51.100.1
             route add default via fd03::1\n",
            FAR[0], FAR[1]
        ),
    );
    ip(
        node,
        &format!(
            "route add default via {}\n route add default via {}\n",
            ROUTER[0], ROUTER[1]
        ),
    );
}

fn judge_input(node: &Namespace, datapath: &Datapath) {
    let wanted = node_table(datapath.node_program(), &[]);
    let mut batch = Batch::new();
    batch.add_table(&wanted.table);
    wanted
        .chains
        .iter()
        .for_each(|chain| batch.add_chain(chain));
    wanted.rules.iter().for_each(|rule| batch.append_rule(rule));
    node.nft().unwrap().commit(&batch).unwrap();
}
