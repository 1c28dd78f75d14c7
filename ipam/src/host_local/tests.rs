use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::{BootId, Config, Env, MountedNamespaces, NetworkName, Request};

/// A data directory, libcni's results and files that stand for namespaces.
struct Host {
    root: tempfile::TempDir,
    env: Env,
}

impl Host {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let env = Env {
            boot: BootId([1; 16]),
            namespaces: Box::new(MountedNamespaces::below("/")),
            cni_results: root.path().join("results"),
            reclaims: true,
        };
        for dir in ["results", "netns", "data/net"] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        Self { root, env }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn open(&self) -> Store<'_> {
        Store::open(
            &self.path("data"),
            &NetworkName::new("net").unwrap(),
            &self.env,
        )
        .unwrap()
    }

    /// A pod as host-local and libcni remember it, with or without its namespace.
    fn pod(&self, address: &str, container: &str, alive: bool) {
        self.write(
            &format!("data/net/{address}"),
            &format!("{container}\r\neth0"),
        );
        let netns = self.path("netns").join(container);
        let interfaces = json!([{"name": "br0"}, {"name": "eth0", "sandbox": netns}]);
        let cached = json!({"kind": "cniCacheV1", "result": {"interfaces": interfaces}});
        self.write(
            &format!("results/net-{container}-eth0"),
            &cached.to_string(),
        );
        if alive {
            self.write(&format!("netns/{container}"), "");
        }
    }

    fn directory(&self) -> BTreeMap<String, String> {
        let text = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        files(&self.path("data/net"))
            .unwrap()
            .into_iter()
            .map(|(n, p)| (n, text(p)))
            .collect()
    }
}

fn held(store: &mut Store<'_>) -> Vec<(String, String)> {
    let leases = store.leases().unwrap();
    leases
        .iter()
        .map(|l| (l.address.to_string(), l.owner.container().to_owned()))
        .collect()
}

fn pair(address: &str, container: &str) -> (String, String) {
    (address.into(), container.into())
}

#[test]
fn only_addresses_whose_namespace_lives_are_taken_over() {
    let host = Host::new();
    host.pod("10.0.0.5", "alive", true);
    host.pod("fd00::5", "alive", true);
    host.pod("10.0.0.6", "dead", false);
    host.write("data/net/10.0.0.7", "uncached\r\neth0");
    host.write("data/net/10.0.0.8", "");
    host.write("data/net/lock", "");
    host.write("data/net/last_reserved_ip.0", "10.0.0.8");
    host.write("data/net/last_reserved_ip.99", "10.0.0.8");
    host.write("data/net/notes", "alive\r\neth0");
    let mut store = host.open();
    let mut now = held(&mut store);
    now.sort();
    assert_eq!(now, [pair("10.0.0.5", "alive"), pair("fd00::5", "alive")]);
    let netns = store.leases().unwrap()[0].netns.clone().unwrap();
    assert_eq!(netns.path, host.path("netns/alive"));

    let config =
        Config::for_pod_ranges("net", Path::new("/"), &["10.0.0.0/24".parse().unwrap()]).unwrap();
    let owner = Owner::new("new", "eth0").unwrap();
    let request = Request {
        owner: &owner,
        netns: None,
        sets: &config.sets,
        requested: &[],
    };
    let got = store.allocate(&request, SystemTime::now()).unwrap();
    assert_eq!(
        got[0].address.ip().to_string(),
        "10.0.0.9",
        "goes on where host-local stopped"
    );
}

#[test]
fn the_directory_is_taken_over_once() {
    let host = Host::new();
    host.pod("10.0.0.5", "alive", true);
    let mut store = host.open();
    store
        .release(&Owner::new("alive", "eth0").unwrap())
        .unwrap();
    drop(store);
    assert_eq!(held(&mut host.open()), []);
}

#[test]
fn old_files_without_interface_and_libcnis_netns_key_are_understood() {
    let host = Host::new();
    host.write("netns/c", "");
    host.write("data/net/10.0.0.5", "c\n");
    let cached = json!({"netns": host.path("netns/c"), "result": {"ip4": {"ip": "10.0.0.5/24"}}});
    host.write("results/net-c-eth0", &cached.to_string());
    assert_eq!(held(&mut host.open()), [pair("10.0.0.5", "c")]);
}

#[test]
fn links_in_the_directory_are_not_followed() {
    let host = Host::new();
    host.pod("10.0.0.5", "c", true);
    std::fs::rename(host.path("data/net/10.0.0.5"), host.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(host.path("elsewhere"), host.path("data/net/10.0.0.5")).unwrap();
    assert_eq!(held(&mut host.open()), []);
}

#[test]
fn an_export_is_what_host_local_would_have_written_and_comes_back() {
    let host = Host::new();
    host.pod("10.0.0.5", "alive", true);
    host.pod("10.0.0.6", "dead", false);
    host.write("data/net/last_reserved_ip.0", "10.0.0.6");
    host.write("data/net/lock", "");
    host.open().export_host_local().unwrap();
    assert!(!host.path("data/net.leases").exists());
    let text = |text: &str| text.to_owned();
    let expected = [
        (text("10.0.0.5"), text("alive\r\neth0")),
        (text("last_reserved_ip.0"), text("10.0.0.6")),
        (text("lock"), text("")),
    ];
    assert_eq!(host.directory(), expected.into());
    assert_eq!(held(&mut host.open()), [pair("10.0.0.5", "alive")]);
}

#[test]
fn an_export_of_a_network_that_host_local_never_saw_makes_the_directory() {
    let host = Host::new();
    std::fs::remove_dir(host.path("data/net")).unwrap();
    host.open().export_host_local().unwrap();
    assert_eq!(host.directory(), BTreeMap::new());
}
