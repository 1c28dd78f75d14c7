//! A node, or two, with a client's pod and a server's, connected in one of the ways.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::{Route, Sysctl};
use fairlead_e2e_lab::{LIMIT, Namespace, connect, wait_until};
use ipnetwork::IpNetwork;
use serde_json::{Value, json};

use super::ours::Enforced;
use super::trips::{Server, answers};
use super::{Network, PORT, SERVICE, Subject, filters};
use crate::call::{Plugin, Verb, call};
use crate::subject::Programs;

/// A pod behind a link of its node.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) ns: Namespace,
    pub(super) ip: IpAddr,
    /// The host end's name.
    pub(super) link: String,
}

/// A way from a client to a server; all is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) client: Pod,
    /// Where the client connects to.
    pub(super) to: SocketAddr,
    // In the order in which they have to go.
    _server: Server,
    _enforced: Vec<Enforced>,
    _server_pod: Pod,
    _nodes: Vec<Namespace>,
}

impl Way {
    pub(super) fn new(subject: Subject, programs: &Programs) -> Result<Self> {
        let nodes = match subject.network {
            Network::AcrossNodes => two_nodes()?,
            _ => vec![node()?],
        };
        let far = nodes.len() - 1;
        let bridge = matches!(subject.network, Network::Bridge | Network::BridgeNetfilter);
        let home = tempfile::tempdir_in(programs.scratch.path())?.keep();
        let pod = |number: usize, node: usize| {
            let conf = if bridge {
                bridge_conf(&home)
            } else {
                routed_conf(&home, node)?
            };
            let program = if bridge {
                programs.reference("bridge")
            } else {
                programs.ours("fairlead-direct")
            };
            attach(&nodes[node], &Plugin { program, conf }, number)
        };
        let (client, server) = (pod(1, 0)?, pod(2, far)?);
        if subject.network == Network::BridgeNetfilter {
            let key = Sysctl::new("net/bridge/bridge-nf-call-iptables");
            nodes[0].run(|| key.write("1"))??;
        }
        let listens = Server::start(&server.ns, PORT)?;
        let ends = [(&nodes[0], &client), (&nodes[far], &server)];
        let enforced = filters::put(subject, ends, programs)?;
        let mut to = SocketAddr::new(server.ip, PORT);
        if subject.network == Network::Service {
            service(&nodes[0], to)?;
            to = SERVICE;
        }
        wait_until(
            LIMIT,
            &format!("{}: {to} is reached", subject.name()),
            || answers(&client.ns, to),
        )?;
        Ok(Self {
            client,
            to,
            _server: listens,
            _enforced: enforced,
            _server_pod: server,
            _nodes: nodes,
        })
    }
}

/// A node that forwards.
fn node() -> Result<Namespace> {
    let node = Namespace::new("node")?;
    node.loopback_up()?;
    node.run(|| Sysctl::new("net/ipv4/ip_forward").write("1"))??;
    Ok(node)
}

/// Two nodes on a cable, each with a route to the other's pods.
fn two_nodes() -> Result<Vec<Namespace>> {
    let nodes = vec![node()?, node()?];
    let (a, b) = connect(&nodes[0], "eth0", &nodes[1], "eth0")?;
    for (number, link) in [(0, a), (1, b)] {
        let mut netlink = nodes[number].netlink()?;
        let own = format!("192.0.2.{}/24", number + 1).parse()?;
        netlink.add_address(&fairlead_cni_netlink::Address::new(link, own))?;
        let peer = format!("192.0.2.{}", 2 - number).parse()?;
        let range: IpNetwork = range(1 - number).parse()?;
        netlink.add_route(&Route::via(range, peer, Some(link)))?;
    }
    Ok(nodes)
}

pub(super) fn range(node: usize) -> String {
    format!("10.88.{node}.0/24")
}

fn bridge_conf(home: &std::path::Path) -> Value {
    json!({
        "cniVersion": "1.0.0", "name": "bench", "type": "bridge", "bridge": "bench0",
        "isGateway": true, "hairpinMode": true,
        "ipam": {
            "type": "host-local", "dataDir": home, "ranges": [[{"subnet": range(0)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    })
}

fn routed_conf(home: &std::path::Path, node: usize) -> Result<Value> {
    let file = home.join(format!("node{node}.json"));
    let text = json!({
        "version": 1, "node": format!("n{node}"), "mode": "direct", "podRanges": [range(node)], "mtu": 1500,
    });
    std::fs::write(&file, text.to_string())?;
    Ok(json!({
        "cniVersion": "1.0.0", "name": "bench", "type": "fairlead-direct",
        "nodeFile": file, "dataDir": home.join(format!("data{node}")),
    }))
}

/// Attaches a new pod.
fn attach(node: &Namespace, plugin: &Plugin, number: usize) -> Result<Pod> {
    let ns = Namespace::new("pod")?;
    let result = node.run(|| call(plugin, Verb::Add, number, ns.path(), None))??;
    let result: Value = serde_json::from_str(&result)?;
    let address = result["ips"][0]["address"].as_str().context("no address")?;
    let ip = address.parse::<IpNetwork>()?.ip();
    let own = ns.netlink()?.link(&"eth0".parse()?)?;
    let peer = own.peer.context("eth0 has no peer")?;
    let link = node.netlink()?.link_by_index(peer)?.name.to_string();
    Ok(Pod { ns, ip, link })
}

/// A Service in front of `backend`, translated as kube-proxy's nftables mode does it.
fn service(node: &Namespace, backend: SocketAddr) -> Result<()> {
    let (address, port) = (SERVICE.ip(), SERVICE.port());
    let table = format!(
        "table ip kube-proxy {{
           map service-ips {{
             type ipv4_addr . inet_proto . inet_service : verdict
             elements = {{ {address} . tcp . {port} : goto service }}
           }}
           chain service {{ numgen random mod 1 vmap {{ 0 : goto endpoint }}; }}
           chain endpoint {{
             ip saddr {backend} jump mark-for-masquerade
             meta l4proto tcp dnat to {backend_port}
           }}
           chain mark-for-masquerade {{ mark set mark or 0x4000; }}
           chain services {{ ip daddr . meta l4proto . th dport vmap @service-ips; }}
           chain prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
         }}",
        backend = backend.ip(),
        backend_port = backend,
    );
    fairlead_e2e_lab::nft(node, &table).map(drop)
}
