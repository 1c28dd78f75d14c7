//! `fairlead node cleanup` on a node where Fairlead is one of several.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use fairlead_e2e_lab::{Namespace, Snapshot, connect};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_fairlead");

/// The folders below the root of a node.
const FOLDERS: [&str; 4] = [
    "etc/cni/net.d",
    "opt/cni/bin",
    "var/lib/cni/networks",
    "run/fairlead",
];

/// State of others: each has something in common with ours.
const FOREIGN: &str = r#"
    ip link add fl0123456789ac type veth peer name other
    ip link add flannel.1 type vxlan id 1 dstport 8472
    ip link add fl-vxlan2 type vxlan id 2 dstport 4790
    ip route add 10.9.0.0/16 via 192.0.2.9 proto 75
    ip route add unreachable 10.244.9.0/24 proto static
    ip nexthop add id 1179385955 via 192.0.2.8 dev eth0 proto static
    ip nexthop add id 7 via 192.0.2.7 dev eth0 proto 76
    nft add table ip fairlead
    nft add table inet filter
    nft 'add chain inet filter forward { type filter hook forward priority 0 ; policy drop ; }'
    nft 'add rule inet filter forward ip saddr 10.0.0.0/8 accept comment "fairlead"'
"#;

/// What agent and plugins make, in their own words.
const OURS: &str = r#"
    ip link set fl0123456789ab alias fairlead/c1/eth0
    ip route add 10.244.0.5/32 dev fl0123456789ab proto 76
    ip link add fl-vxlan type vxlan id 76 dstport 4789 nolearning local 192.0.2.1
    ip link set fl-vxlan alias 'fairlead overlay'
    ip link set fl-vxlan up
    ip address add 10.244.0.0/32 dev fl-vxlan
    ip neighbour add 10.244.2.0 lladdr 02:00:00:00:00:02 dev fl-vxlan nud permanent
    bridge fdb add 02:00:00:00:00:02 dev fl-vxlan dst 198.51.100.2
    ip nexthop add id 1179385956 via 10.244.2.0 dev fl-vxlan onlink proto 76
    ip route add 10.244.2.0/24 nhid 1179385956 proto 76
    ip route add 10.244.1.0/24 via 192.0.2.2 proto 76
    ip -6 route add fd00:244:1::/64 via 2001:db8::2 proto 76
    ip route add unreachable 10.244.0.0/24 proto 76
    ip route add 10.244.3.0/24 via 192.0.2.2 proto 76 table 100
    nft add table inet fairlead
    nft 'add set inet fairlead ranges4 { type ipv4_addr ; flags interval ; }'
    nft add table inet fairlead-cni
    nft add table netdev fairlead-cni
    nft add table inet fairlead-policy
    nft 'add chain inet fairlead-policy input { type filter hook input priority filter ; }'
    nft add table netdev fairlead-guard
    nft add chain netdev fairlead-guard guard
    nft 'add chain netdev fairlead-guard fl0123456789ab { type filter hook ingress device fl0123456789ab priority -499 ; }'
    nft add rule netdev fairlead-guard fl0123456789ab jump guard
    nft 'insert rule inet filter forward meta mark 134217728 accept comment "fairlead: accept forwarded pod traffic"'
"#;

struct Node {
    ns: Namespace,
    /// The other end of the uplink, and of the pod's link.
    outside: Namespace,
    root: TempDir,
}

impl Node {
    /// A node with state of others.
    fn new() -> Self {
        let (ns, outside) = (
            Namespace::new("node").unwrap(),
            Namespace::new("outside").unwrap(),
        );
        connect(&ns, "eth0", &outside, "eth0").unwrap();
        let node = Self {
            ns,
            outside,
            root: tempfile::tempdir().unwrap(),
        };
        node.shell(
            "ip address add 192.0.2.1/24 dev eth0\nip address add 2001:db8::1/64 dev eth0 nodad",
        );
        node.shell(FOREIGN);
        for folder in &FOLDERS[..3] {
            fs::create_dir_all(node.path(folder)).unwrap();
        }
        node.write(
            "etc/cni/net.d/10-other.conflist",
            r#"{"plugins": [{"type": "flannel"}]}"#,
        );
        node.write(
            "etc/cni/net.d/20-lan.conflist",
            r#"{"plugins": [{"type": "fairlead-bridge"}]}"#,
        );
        node.write("sys/fs/bpf/other", "");
        node.write("opt/cni/bin/bridge", "the reference plugin");
        node.write("var/lib/cni/networks/other/10.9.0.5", "c9\r\neth0");
        node.write("var/lib/cni/networks/dnsmasq.leases", "1764");
        node
    }

    /// What Fairlead makes.
    fn install(&self) {
        connect(&self.ns, "fl0123456789ab", &self.outside, "pod").unwrap();
        self.shell(OURS);
        self.write(
            "etc/cni/net.d/05-fairlead.conflist",
            r#"{"plugins": [{"type": "fairlead-vxlan"}]}"#,
        );
        for role in ["bridge", "direct", "ipam", "loopback"] {
            self.write(&format!("opt/cni/bin/fairlead-{role}"), "the plugin");
        }
        symlink("fairlead-loopback", self.path("opt/cni/bin/loopback")).unwrap();
        self.write("var/lib/cni/networks/fairlead.leases", "FLLEASE\n…");
        self.write("run/fairlead/node.json", "{}");
        self.write("run/fairlead/agent.lock", "");
        self.write("run/fairlead/policy.key", "…");
        self.write("run/fairlead/attachments/fl0123456789ab.json", "{}");
        // Its file stays when the agent is gone.
        drop(UnixListener::bind(self.path("run/fairlead/policy.sock")).unwrap());
        self.write("sys/fs/bpf/fairlead/v1/cells", "");
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    fn write(&self, below: &str, content: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Runs a script in the namespace.
    fn shell(&self, script: &str) {
        self.ns.output("sh", &["-ec", script]).unwrap();
    }

    /// The kernel's state and the files with their content.
    fn state(&self) -> (Snapshot, BTreeMap<PathBuf, Vec<u8>>) {
        let mut files = BTreeMap::new();
        list(self.root.path(), &mut files);
        (Snapshot::of(&self.ns).unwrap(), files)
    }

    /// Runs the program; its exit code, output and errors.
    fn cleanup(&self, arguments: &[&str]) -> (i32, String, String) {
        self.cleanup_by(self.ns.command(PROGRAM), arguments)
    }

    fn cleanup_by(&self, mut command: Command, arguments: &[&str]) -> (i32, String, String) {
        let output = command
            .args(["node", "cleanup", "--root"])
            .arg(self.root.path())
            .args(arguments)
            .output()
            .unwrap();
        let root = self.root.path().display().to_string();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&root, "");
        (
            output.status.code().unwrap(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }
}

fn list(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            found.insert(
                path.clone(),
                fs::read_link(&path)
                    .unwrap()
                    .into_os_string()
                    .into_encoded_bytes(),
            );
        } else if path.is_dir() {
            list(&path, found);
            found.insert(path, Vec::new());
        } else {
            // A socket cannot be read.
            found.insert(path.clone(), fs::read(&path).unwrap_or_default());
        }
    }
}

#[test]
fn the_node_is_as_before_the_installation_and_what_is_not_ours_stays() {
    let node = Node::new();
    fs::create_dir_all(node.path("run")).unwrap();
    let (before, files) = node.state();
    node.install();
    let installed = node.state();

    let (code, listed, errors) = node.cleanup(&["--dry-run"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(node.state(), installed, "a dry run changes nothing");

    let (code, told, errors) = node.cleanup(&[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    let (after, files_after) = node.state();
    assert_eq!(before.diff(&after), "");
    assert_eq!(files, files_after);

    let told: Vec<&str> = told
        .lines()
        .filter_map(|l| l.strip_prefix("removed "))
        .collect();
    let listed: Vec<&str> = listed
        .lines()
        .filter_map(|l| l.strip_prefix("would remove "))
        .collect();
    assert_eq!(told, listed, "a dry run lists what goes");
    assert!(
        told.contains(&"link fl0123456789ab (fairlead/c1/eth0)"),
        "{told:?}"
    );
    assert!(
        told.contains(&"route 10.244.3.0/24 via 192.0.2.2 on link 2 in table 100"),
        "{told:?}"
    );

    assert_eq!(
        node.cleanup(&[]),
        (
            0,
            "stays: link fl0123456789ac: it is named like the link of a pod, but its alias does not say which\n\
             nothing of Fairlead's is on this node\n"
                .to_owned(),
            String::new()
        )
    );
}

#[test]
fn beside_a_running_agent_nothing_is_removed() {
    let node = Node::new();
    node.install();
    let agent = File::open(node.path("run/fairlead/agent.lock")).unwrap();
    agent.lock().unwrap();
    let before = node.state();
    let refusal = "fairlead: an agent runs on this node (it holds /run/fairlead/agent.lock); \
                   end it first: helm uninstall, or systemctl stop\n";
    assert_eq!(node.cleanup(&[]), (1, String::new(), refusal.to_owned()));
    let (code, listed, errors) = node.cleanup(&["--dry-run"]);
    assert_eq!((code, errors.as_str()), (1, refusal));
    assert!(
        listed.contains("would remove nft table inet fairlead\n"),
        "{listed}"
    );
    assert_eq!(node.state(), before);

    drop(agent);
    assert_eq!(node.cleanup(&[]).0, 0);
}

#[test]
fn what_cannot_be_read_is_told_and_the_rest_goes() {
    let node = Node::new();
    node.install();
    fs::rename(node.path("etc/cni/net.d"), node.path("etc/cni/kept")).unwrap();
    fs::write(node.path("etc/cni/net.d"), "").unwrap();
    let (code, told, errors) = node.cleanup(&[]);
    assert_eq!(code, 1);
    assert_eq!(
        errors,
        "fairlead: cannot read /etc/cni/net.d: Not a directory (os error 20)\n\
         fairlead: what is named above may still be there\n"
    );
    assert!(told.contains("removed /run/fairlead\n"), "{told}");
    let (rest, _, _) = node.cleanup(&["--dry-run"]);
    assert_eq!(rest, 1);
}

#[test]
fn a_node_without_fairlead_stays_as_it_is() {
    let node = Node::new();
    let before = node.state();
    let (code, told, errors) = node.cleanup(&[]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        told.ends_with("nothing of Fairlead's is on this node\n"),
        "{told}"
    );
    assert_eq!(node.state(), before);
}

#[test]
fn what_cannot_be_removed_is_told_and_the_rest_goes() {
    let node = Node::new();
    node.install();
    let before = Snapshot::of(&node.ns).unwrap();
    let mut unable = node.ns.command("setpriv");
    unable.args(["--bounding-set", "-net_admin", PROGRAM]);
    let (code, told, errors) = node.cleanup_by(unable, &[]);
    assert_eq!(code, 1);
    for refused in [
        "list nft tables",
        "delete link fl0123456789ab",
        "delete route 10.244.1.0/24 via 192.0.2.2 on link 2",
        "delete nexthop 1179385956",
        "delete link fl-vxlan",
    ] {
        let line = format!(
            "fairlead: cannot {refused}: EPERM: Operation not permitted \
             (this takes CAP_NET_ADMIN in the network namespace)\n"
        );
        assert!(errors.contains(&line), "{errors}");
    }
    assert!(told.ends_with("\n15 removed\n"), "{told}");
    assert_eq!(before.diff(&Snapshot::of(&node.ns).unwrap()), "");
    assert!(!node.path("run/fairlead").exists());
}
