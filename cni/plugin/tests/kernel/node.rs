//! A node of one test: a host namespace, a folder of links to the program, a node file, lease files.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use fairlead_cni_netlink::nft::{DataType, KeyType, Nft, Set, TableFamily, TableName};
use fairlead_cni_netlink::{Address, AddressFlags, Sysctl};
pub(crate) use fairlead_e2e_lab::Failure;
use fairlead_e2e_lab::{
    Namespace, Snapshot, link_plugin, plugin_call, run_plugin, serve_echo, wait_reach, wait_settled,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A node with nothing on it.
pub(crate) struct Node {
    /// The host's namespace.
    pub(crate) host: Namespace,
    dir: TempDir,
}

/// A container of the node.
pub(crate) struct Container {
    /// Its namespace.
    pub(crate) ns: Namespace,
    /// `CNI_CONTAINERID`.
    pub(crate) id: String,
}

/// One family of the way out.
pub(crate) struct Uplink {
    /// The host's address there.
    pub(crate) host: IpAddr,
    /// Who is asked.
    pub(crate) server: IpAddr,
}

/// Variables of a call beside `CNI_COMMAND` and `CNI_PATH`.
pub(crate) type Vars<'a> = &'a [(&'a str, &'a str)];

impl Node {
    pub(crate) fn new() -> Self {
        let node = Self {
            host: Namespace::new("host").unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        node.host.loopback_up().unwrap();
        for address in ["192.0.2.1/32", "2001:db8::1/128"] {
            give(&node.host, "lo", address);
        }
        link_plugin(env!("CARGO_BIN_EXE_fairlead-cni").as_ref(), &node.bin()).unwrap();
        node
    }

    /// The folder of links.
    pub(crate) fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    /// Where leases are.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().join("networks")
    }

    pub(crate) fn node_file(&self) -> PathBuf {
        self.dir.path().join("node.json")
    }

    /// Writes the node file as the agent does.
    pub(crate) fn publish(&self, ranges: &[&str], mtu: u32) {
        self.publish_as("direct", ranges, mtu);
    }

    /// The same for a mode of the cluster.
    pub(crate) fn publish_as(&self, mode: &str, ranges: &[&str], mtu: u32) {
        let file =
            json!({"version": 1, "node": "n1", "mode": mode, "podRanges": ranges, "mtu": mtu});
        std::fs::write(self.node_file(), file.to_string()).unwrap();
    }

    /// The configuration of the direct role.
    pub(crate) fn direct(&self) -> Value {
        json!({
            "cniVersion": "1.1.0", "name": "fairlead", "type": "fairlead-direct",
            "nodeFile": self.node_file(), "dataDir": self.data_dir(),
        })
    }

    /// The configuration of the vxlan role.
    pub(crate) fn vxlan(&self) -> Value {
        let mut conf = self.direct();
        conf["type"] = "fairlead-vxlan".into();
        conf
    }

    /// Switches forwarding of both families on, which is the agent's work.
    pub(crate) fn forward(&self) {
        for key in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            self.sysctl(key, "1");
        }
    }

    /// Sets a sysctl of the host.
    pub(crate) fn sysctl(&self, key: &str, value: &str) {
        self.host
            .run(|| Sysctl::new(key).write(value))
            .unwrap()
            .unwrap();
    }

    /// The program as a command in the host's namespace, ready to be started.
    pub(crate) fn command(&self, plugin: &str, command: &str, vars: Vars<'_>) -> Command {
        plugin_call(&self.host, &self.bin(), plugin, command, vars).unwrap()
    }

    /// Runs the program; `Value::Null` when it printed nothing.
    pub(crate) fn call(
        &self,
        plugin: &str,
        command: &str,
        vars: Vars<'_>,
        conf: &Value,
    ) -> Result<Value, Failure> {
        run(&mut self.command(plugin, command, vars), &conf.to_string())
    }

    /// Runs an operation on a container's `eth0`.
    pub(crate) fn on(
        &self,
        plugin: &str,
        command: &str,
        container: &Container,
        conf: &Value,
    ) -> Result<Value, Failure> {
        self.call(plugin, command, &container.vars(), conf)
    }

    pub(crate) fn add(&self, container: &Container, conf: &Value) -> Result<Value, Failure> {
        self.on(conf["type"].as_str().unwrap(), "ADD", container, conf)
    }

    pub(crate) fn del(&self, container: &Container, conf: &Value) -> Result<Value, Failure> {
        self.on(conf["type"].as_str().unwrap(), "DEL", container, conf)
    }

    pub(crate) fn check(
        &self,
        container: &Container,
        conf: &Value,
        result: &Value,
    ) -> Result<Value, Failure> {
        let mut conf = conf.clone();
        conf["prevResult"] = result.clone();
        self.on(conf["type"].as_str().unwrap(), "CHECK", container, &conf)
    }

    pub(crate) fn status(&self, conf: &Value) -> Result<Value, Failure> {
        self.call(conf["type"].as_str().unwrap(), "STATUS", &[], conf)
    }

    /// GC that keeps the `eth0` of the named containers.
    pub(crate) fn gc(&self, conf: &Value, valid: &[&str]) -> Result<Value, Failure> {
        let mut conf = conf.clone();
        conf["cni.dev/valid-attachments"] = valid
            .iter()
            .map(|id| json!({"containerID": id, "ifname": "eth0"}))
            .collect();
        self.call(conf["type"].as_str().unwrap(), "GC", &[], &conf)
    }

    /// The addresses that a network's leases hold, sorted.
    pub(crate) fn leases(&self, network: &str) -> Vec<String> {
        let env = fairlead_ipam::Env::host().unwrap();
        let network = fairlead_ipam::NetworkName::new(network).unwrap();
        let store = fairlead_ipam::Store::open_existing(&self.data_dir(), &network, &env).unwrap();
        let leases = store
            .map(|mut store| store.leases().unwrap())
            .unwrap_or_default();
        let mut held: Vec<String> = leases
            .iter()
            .map(|lease| lease.address.to_string())
            .collect();
        held.sort();
        held
    }

    /// A namespace beyond the host that has no route back to pods, and its addresses of each family.
    pub(crate) fn world(&self) -> (Namespace, Uplink, Uplink) {
        let world = Namespace::new("world").unwrap();
        fairlead_e2e_lab::connect(&self.host, "uplink0", &world, "eth0").unwrap();
        give(&self.host, "uplink0", "198.51.100.1/24");
        give(&self.host, "uplink0", "2001:db8:1::1/64");
        give(&world, "eth0", "198.51.100.2/24");
        give(&world, "eth0", "2001:db8:1::2/64");
        wait_settled(&self.host, "uplink0").unwrap();
        let uplink = |host: &str, server: &str| Uplink {
            host: host.parse().unwrap(),
            server: server.parse().unwrap(),
        };
        (
            world,
            uplink("198.51.100.1", "198.51.100.2"),
            uplink("2001:db8:1::1", "2001:db8:1::2"),
        )
    }

    /// Attaches two pods and fails unless one reaches the other, and the host does, over both families.
    pub(crate) fn assert_pods_talk(&self, conf: &Value) -> [Container; 2] {
        let pods = ["one", "other"].map(container);
        let results = [0, 1].map(|pod: usize| self.add(&pods[pod], conf).unwrap());
        for (pod, result) in pods.iter().zip(&results) {
            let all = pod.ns.netlink().unwrap().addresses().unwrap();
            let own = all.iter().find(|a| a.ip.ip() == address(result, false));
            let sure = !own.unwrap().flags.contains(AddressFlags::TENTATIVE);
            assert!(sure, "an address can be used as soon as ADD tells it");
        }
        let _echo = serve_echo(&pods[1].ns, 7).unwrap();
        for v4 in [true, false] {
            let to = SocketAddr::new(address(&results[1], v4), 7);
            wait_reach(&pods[0].ns, to).unwrap();
            wait_reach(&self.host, to).unwrap();
        }
        for (pod, result) in pods.iter().zip(&results) {
            self.check(pod, conf, result).unwrap();
        }
        pods
    }

    /// The masqueraded addresses with their owners, IPv4 first, each sorted.
    pub(crate) fn masqueraded(&self) -> Vec<String> {
        let mut nft = Nft::open_in(self.host.netns()).unwrap();
        let table = TableName::new(TableFamily::Inet, "fairlead-cni");
        let mut all = Vec::new();
        for (name, key) in [("pods4", KeyType::Ipv4Addr), ("pods6", KeyType::Ipv6Addr)] {
            let elements = nft
                .elements(&Set::map(&table, name, &[key], DataType::Verdict))
                .unwrap();
            let shown = |e: &fairlead_cni_netlink::nft::Element| {
                format!(
                    "{} {}",
                    e.key.ip().unwrap(),
                    e.comment.clone().unwrap_or_default()
                )
            };
            let mut shown: Vec<String> = elements.iter().map(shown).collect();
            shown.sort();
            all.extend(shown);
        }
        all
    }

    /// Everything that stands on the node: kernel state with nftables, and leases.
    pub(crate) fn state(&self, network: &str) -> State {
        State {
            kernel: Snapshot::of(&self.host).unwrap(),
            leases: self.leases(network),
        }
    }
}

/// The state of a node.
pub(crate) struct State {
    kernel: Snapshot,
    leases: Vec<String>,
}

impl State {
    /// Fails unless nothing has changed since.
    pub(crate) fn assert_same(&self, later: &Self, when: &str) {
        assert_eq!(self.kernel.diff(&later.kernel), "", "{when}");
        assert_eq!(self.leases, later.leases, "{when}");
    }
}

impl Container {
    pub(crate) fn vars(&self) -> [(&str, &str); 3] {
        [
            ("CNI_CONTAINERID", &self.id),
            ("CNI_NETNS", self.path()),
            ("CNI_IFNAME", "eth0"),
        ]
    }

    pub(crate) fn path(&self) -> &str {
        self.ns.path().to_str().unwrap()
    }
}

/// Starts a prepared call, feeds it and reads its answer.
pub(crate) fn run(call: &mut Command, stdin: &str) -> Result<Value, Failure> {
    run_plugin(call, stdin).unwrap()
}

/// A container that nothing is attached to.
pub(crate) fn container(id: &str) -> Container {
    Container {
        ns: Namespace::new(id).unwrap(),
        id: id.to_owned(),
    }
}

/// Gives a link an address that works at once.
pub(crate) fn give(ns: &Namespace, link: &str, address: &str) {
    let mut netlink = ns.netlink().unwrap();
    let index = netlink.index_of(&link.parse().unwrap()).unwrap();
    netlink
        .add_address(&Address::new(index, address.parse().unwrap()).nodad())
        .unwrap();
}

/// The first address of a family in a result.
pub(crate) fn address(result: &Value, v4: bool) -> IpAddr {
    let all = result["ips"].as_array().unwrap().iter();
    let ips = all.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap());
    ips.map(|ip| ip.parse::<IpAddr>().unwrap())
        .find(|ip| ip.is_ipv4() == v4)
        .unwrap()
}

/// Whether a folder holds nothing but lease files.
pub(crate) fn only_lease_files(dir: &Path) -> bool {
    std::fs::read_dir(dir).map_or(true, |entries| {
        entries
            .flatten()
            .all(|entry| entry.path().extension().is_some_and(|ext| ext == "leases"))
    })
}
