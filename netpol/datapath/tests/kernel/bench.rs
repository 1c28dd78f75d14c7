//! What tests share: a node with two routed pods, and tables for them.

use std::net::{IpAddr, SocketAddr};

use fairlead_cni_netlink::{
    Address as LinkAddress, LinkChange, LinkIndex, LinkName, Netlink, NewLink, Peer, Route, Sysctl,
};
use fairlead_e2e_lab::{BpfFolder, LIMIT, Namespace, wait_until};
use fairlead_netpol_datapath::{Config, Datapath, Drops, Hook, Reason, Sizes};
use fairlead_netpol_model::cluster::Sources;
use fairlead_netpol_model::tables::{
    Address, Attachment, ClassId, Endpoint, IfIndex, Link, Set, SetId, Tables,
};
use ipnetwork::IpNetwork;

/// The address of the node as its pods see it.
pub(crate) const NODE: &str = "10.1.0.254";

/// A class of peers, and the set of rules that allows it all ports.
pub(crate) const CLASS: ClassId = ClassId(0xc1);
pub(crate) const ALLOWING: Set = Set {
    id: SetId(0x5e7),
    cells: true,
    ..Set::DENY
};

/// A pod: its namespace with `eth0`, and its host end on the node.
pub(crate) struct Pod {
    pub(crate) ns: Namespace,
    pub(crate) ip: IpAddr,
    pub(crate) host_end: IfIndex,
    attachment: Attachment,
}

impl Pod {
    /// A place of it where something may listen.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    /// What stands for it in `addresses`.
    pub(crate) fn address(&self, class: ClassId) -> Address {
        let local = match self.attachment.link {
            Link::Routed { pod_mac, host_mac } => Some((self.host_end, pod_mac, host_mac)),
            Link::Bridged { .. } => None,
        };
        Address { class, local }
    }

    /// What stands for it in `endpoints`.
    pub(crate) fn endpoint(&self, ingress: Option<Set>, egress: Option<Set>) -> Endpoint {
        Endpoint {
            attachment: self.attachment.clone(),
            ingress,
            egress,
            sources: Sources::Own,
        }
    }
}

/// A node with two pods whose links are down.
pub(crate) struct Bench {
    pub(crate) node: Namespace,
    pub(crate) pods: [Pod; 2],
    pub(crate) config: Config,
    _folder: BpfFolder,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let folder = BpfFolder::new().unwrap();
        let node = Namespace::new("node").unwrap();
        node.loopback_up().unwrap();
        node.run(|| {
            for (key, value) in [("ip_forward", "1"), ("conf/all/rp_filter", "0")] {
                Sysctl::new(&format!("net/ipv4/{key}"))
                    .write(value)
                    .unwrap();
            }
        })
        .unwrap();
        let mut netlink = node.netlink().unwrap();
        give(&mut netlink, LinkIndex(1), &format!("{NODE}/32"));
        let pods = [1, 2].map(|number| pod(&node, &mut netlink, number));
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
        Self {
            node,
            pods,
            config,
            _folder: folder,
        }
    }

    /// With the links of both pods up, and `datapath` on them.
    pub(crate) fn up() -> (Self, Datapath) {
        let bench = Self::new();
        let mut datapath = bench.open();
        for pod in &bench.pods {
            datapath.attach_pod(pod.host_end).unwrap();
        }
        bench.set_up();
        (bench, datapath)
    }

    /// What an agent has after its start.
    pub(crate) fn open(&self) -> Datapath {
        self.node
            .run(|| Datapath::open(&self.config))
            .unwrap()
            .unwrap()
    }

    /// Sets the links of both pods up.
    pub(crate) fn set_up(&self) {
        for pod in &self.pods {
            self.set_pod_up(pod);
        }
    }

    pub(crate) fn set_pod_up(&self, pod: &Pod) {
        let host_end = LinkIndex(pod.host_end);
        let netlink = &mut self.node.netlink().unwrap();
        netlink.set_link(&LinkChange::of(host_end).up()).unwrap();
        let inside = &mut pod.ns.netlink().unwrap();
        inside.set_link(&LinkChange::of(name("eth0")).up()).unwrap();
        let link = inside.index_of(&name("eth0")).unwrap();
        let gateway: IpNetwork = format!("{NODE}/32").parse().unwrap();
        inside.add_route(&Route::on_link(gateway, link)).unwrap();
        let any = "0.0.0.0/0".parse().unwrap();
        inside
            .add_route(&Route::via(any, gateway.ip(), Some(link)))
            .unwrap();
        let own = IpNetwork::from(pod.ip);
        netlink.add_route(&Route::on_link(own, host_end)).unwrap();
        wait_until(LIMIT, "the pod's link is up", || {
            Ok(netlink.link_by_index(host_end)?.is_running())
        })
        .unwrap();
    }

    /// Both pods are of [`CLASS`]; their directions have these sets.
    pub(crate) fn tables(&self, sets: [(Option<Set>, Option<Set>); 2]) -> Tables {
        let mut tables = Tables::default();
        tables.cells.insert((ALLOWING.id, CLASS), 1);
        for (pod, (ingress, egress)) in self.pods.iter().zip(sets) {
            tables.addresses.insert(pod.ip, pod.address(CLASS));
            tables
                .endpoints
                .insert(pod.host_end, pod.endpoint(ingress, egress));
        }
        tables
    }

    /// Nobody is isolated.
    pub(crate) fn open_tables(&self) -> Tables {
        self.tables([(None, None), (None, None)])
    }
}

/// Packets that `datapath` has counted of a reason at a hook.
pub(crate) fn packets(datapath: &Datapath, hook: Hook, reason: Reason) -> u64 {
    let counted = |of: &Drops| (of.hook == hook && of.reason == reason).then_some(of.packets);
    datapath.drops().unwrap().iter().find_map(counted).unwrap()
}

pub(crate) fn name(text: &str) -> LinkName {
    LinkName::new(text).unwrap()
}

/// A pod `10.1.0.<number>` whose link is down.
fn pod(node: &Namespace, netlink: &mut Netlink, number: u8) -> Pod {
    let ns = Namespace::new(&format!("pod{number}")).unwrap();
    ns.loopback_up().unwrap();
    let host_name = name(&format!("fl00000000000{number}"));
    let peer = Peer {
        name: name("eth0"),
        netns: Some(ns.fd()),
        mac: None,
        mtu: None,
    };
    netlink
        .add_link(&NewLink::veth(host_name.clone(), peer))
        .unwrap();
    let host_end = netlink.link(&host_name).unwrap();
    let inside = &mut ns.netlink().unwrap();
    let pod_end = inside.link(&name("eth0")).unwrap();
    let ip = IpAddr::from([10, 1, 0, number]);
    give(inside, pod_end.index, &format!("{ip}/32"));
    node.run(|| {
        let key = format!("net/ipv4/conf/{host_name}/proxy_arp");
        Sysctl::new(&key).write("1").unwrap();
    })
    .unwrap();
    let attachment = Attachment {
        addresses: vec![ip],
        link: Link::Routed {
            pod_mac: pod_end.mac.unwrap().0,
            host_mac: host_end.mac.unwrap().0,
        },
    };
    Pod {
        ns,
        ip,
        host_end: host_end.index.0,
        attachment,
    }
}

fn give(netlink: &mut Netlink, link: LinkIndex, network: &str) {
    let address = LinkAddress::new(link, network.parse().unwrap());
    netlink.add_address(&address).unwrap();
}
