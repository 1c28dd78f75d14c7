//! The plugin driven by the reference library, through its own `cnitool`, and beside the reference plugins.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use fairlead_e2e_lab::{
    Namespace, Snapshot, link_plugin, plugin_call, plugin_names, program, run_plugin, serve_echo,
    wait_reach,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What `e2e/tools/build.sh cni` makes.
fn tool(name: &str) -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cache = std::env::var_os("FAIRLEAD_CACHE").map_or(repository.join(".cache"), PathBuf::from);
    let path = cache.join("bin").join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `e2e/tools/build.sh cni`",
        path.display()
    );
    path.canonicalize().unwrap()
}

/// A node: a namespace, folders of plugins and configurations, and a `/var/lib` of its own.
struct Node {
    ns: Namespace,
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        let node = Self {
            ns: Namespace::new("node").unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        node.ns.loopback_up().unwrap();
        for folder in ["net.d", "lib"] {
            std::fs::create_dir(node.at(folder)).unwrap();
        }
        let plugin = program("fairlead-cni-plugin", "fairlead-cni").unwrap();
        link_plugin(&plugin, &node.at("bin")).unwrap();
        node
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the node file as the agent does.
    fn publish(&self, mode: &str, ranges: &[&str]) {
        let file =
            json!({"version": 1, "node": "n1", "mode": mode, "podRanges": ranges, "mtu": 1450});
        std::fs::write(self.at("node.json"), file.to_string()).unwrap();
    }

    /// Writes a network of one plugin.
    fn network(&self, plugin: &Value) {
        let list = json!({"cniVersion": "1.1.0", "name": "net", "plugins": [plugin]});
        std::fs::write(self.at("net.d/net.conflist"), list.to_string()).unwrap();
    }

    /// Runs `cnitool` for a pod: what it printed, as a result or as an error. The library keeps results
    /// below `/var/lib/cni`, hence the mount.
    fn cnitool(&self, verb: &str, pod: &Namespace) -> Result<String, String> {
        let output = self
            .ns
            .command("unshare")
            .args(["--mount", "sh", "-c"])
            .arg("mount --bind \"$0\" /var/lib && exec \"$@\"")
            .args([self.at("lib"), tool("cnitool")])
            .args([verb, "net", pod.path().to_str().unwrap()])
            .env("NETCONFPATH", self.at("net.d"))
            .env("CNI_PATH", self.at("bin"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    fn add(&self, pod: &Namespace) -> Result<Value, String> {
        self.cnitool("add", pod)
            .map(|text| serde_json::from_str(&text).unwrap())
    }

    /// The host ends of pods.
    fn links(&self) -> usize {
        let links = self.ns.netlink().unwrap().links().unwrap();
        let ours = links
            .iter()
            .filter(|link| link.name.as_str().starts_with("fl"));
        ours.count()
    }
}

/// Nodes whose networks have room for two pods, one for each role that attaches pods.
fn nodes() -> [Node; 3] {
    let routed = |mode: &str| {
        let node = Node::new();
        node.publish(mode, &["10.244.9.0/30", "fd00:244:9::/64"]);
        node.network(
            &json!({"type": format!("fairlead-{mode}"), "nodeFile": node.at("node.json")}),
        );
        node
    };
    let bridged = Node::new();
    bridged.network(&json!({
        "type": "fairlead-bridge", "bridge": "cni0", "isDefaultGateway": true, "ipMasq": true,
        "nodeFile": bridged.at("node.json"),
        "ipam": {"type": "fairlead-ipam", "ranges": [
            [{"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.3"}], [{"subnet": "fd00:1::/64"}],
        ]},
    }));
    [bridged, routed("direct"), routed("vxlan")]
}

fn pod(name: &str) -> Namespace {
    Namespace::new(name).unwrap()
}

#[test]
fn every_role_serves_add_check_status_and_del() {
    for node in nodes() {
        let (one, other) = (pod("one"), pod("other"));
        // The first pod makes what belongs to the network.
        node.add(&one).unwrap();
        node.cnitool("del", &one).unwrap();
        let before = Snapshot::of(&node.ns).unwrap();
        node.cnitool("status", &one).unwrap();
        for pod in [&one, &other] {
            let result = node.add(pod).unwrap();
            assert_eq!(result["cniVersion"], "1.1.0");
            assert_eq!(result["ips"].as_array().unwrap().len(), 2);
            node.cnitool("check", pod).unwrap();
        }
        for pod in [&one, &other] {
            node.cnitool("del", pod).unwrap();
            node.cnitool("del", pod).unwrap();
        }
        assert_eq!(before.diff(&Snapshot::of(&node.ns).unwrap()), "");
    }
}

#[test]
fn status_tells_a_full_range_and_gc_makes_room() {
    for node in nodes() {
        let pods = [pod("one"), pod("two"), pod("three")];
        node.add(&pods[0]).unwrap();
        node.cnitool("status", &pods[0]).unwrap();
        node.add(&pods[1]).unwrap();
        for verb in ["status", "add"] {
            let error = node.cnitool(verb, &pods[2]).unwrap_err();
            assert!(error.contains("no address is free in 10."), "{error}");
        }
        // The library deletes what it knows, which is all.
        node.cnitool("gc", &pods[0]).unwrap();
        assert_eq!(node.links(), 0);
        node.cnitool("status", &pods[0]).unwrap();
        node.add(&pods[0]).unwrap();
        node.add(&pods[1]).unwrap();
        // It knows nothing: only what has nobody left goes.
        std::fs::remove_dir_all(node.at("lib/cni/results")).unwrap();
        node.cnitool("gc", &pods[2]).unwrap();
        node.cnitool("status", &pods[2]).unwrap_err();
        let [one, two, three] = pods;
        drop(two);
        node.cnitool("gc", &three).unwrap();
        node.cnitool("status", &three).unwrap();
        node.cnitool("check", &one).unwrap_err();
        node.add(&three).unwrap();
        node.cnitool("check", &three).unwrap();
    }
}

#[test]
fn status_of_a_node_without_an_agent_says_so() {
    let [_, routed @ ..] = nodes();
    for node in routed {
        std::fs::remove_file(node.at("node.json")).unwrap();
        let error = node.cnitool("status", &pod("none")).unwrap_err();
        assert!(
            error.contains("cannot be used, the agent writes it when the node is ready"),
            "{error}"
        );
    }
}

#[test]
fn the_reference_bridge_takes_addresses_from_our_host_local() {
    let node = Node::new();
    let theirs = node.at("bin/bridge");
    std::fs::remove_file(&theirs).unwrap();
    symlink(tool("cni/bridge"), theirs).unwrap();
    node.network(&json!({
        "type": "bridge", "bridge": "cni0", "isGateway": true, "isDefaultGateway": true,
        "ipam": {"type": "host-local", "ranges": [
            [{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}],
        ]},
    }));
    let (one, other) = (pod("one"), pod("other"));
    let address = |result: &Value, at: usize| {
        let text = result["ips"][at]["address"].as_str().unwrap();
        text.split('/').next().unwrap().to_owned()
    };
    let first = node.add(&one).unwrap();
    let second = node.add(&other).unwrap();
    assert_eq!(
        [address(&first, 0), address(&first, 1)],
        ["10.1.0.2", "fd00:1::2"]
    );
    assert_eq!(address(&second, 0), "10.1.0.3");
    let _echo = serve_echo(&other, 7).unwrap();
    for address in ["10.1.0.3:7", "[fd00:1::3]:7"] {
        wait_reach(&one, address.parse().unwrap()).unwrap();
    }
    node.cnitool("check", &one).unwrap();
    node.cnitool("status", &one).unwrap();
    node.cnitool("del", &one).unwrap();
    let error = node.cnitool("check", &one).unwrap_err();
    assert!(!error.is_empty());
    node.cnitool("gc", &one).unwrap();
    let again = node.add(&one).unwrap();
    assert_eq!(address(&again, 0), "10.1.0.4");
}

#[test]
fn our_bridge_takes_addresses_from_the_reference_host_local() {
    let node = Node::new();
    let theirs = node.at("bin/their-local");
    symlink(tool("cni/host-local"), theirs).unwrap();
    node.network(&json!({
        "type": "bridge", "bridge": "cni0", "isDefaultGateway": true,
        "ipam": {"type": "their-local", "ranges": [
            [{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00:1::/64"}],
        ]},
    }));
    let one = pod("one");
    let result = node.add(&one).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.1.0.2/24");
    node.cnitool("check", &one).unwrap();
    node.cnitool("del", &one).unwrap();
    assert_eq!(node.links(), 0);
}

#[test]
fn every_link_says_which_versions_it_speaks() {
    let node = Node::new();
    for role in plugin_names() {
        let mut call = plugin_call(&node.ns, &node.at("bin"), role, "VERSION", &[]).unwrap();
        let reply = run_plugin(&mut call, "").unwrap().unwrap();
        let versions = reply["supportedVersions"].as_array().unwrap();
        assert_eq!(versions.first().unwrap(), "0.1.0", "{role}");
        assert_eq!(versions.last().unwrap(), "1.1.0", "{role}");
    }
}
