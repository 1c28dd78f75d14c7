//! `fairlead node cleanup` on a node where policy was enforced.

use std::fs;
use std::process::Output;

use fairlead_e2e_lab::{BpfFolder, Namespace, connect};
use fairlead_netpol_datapath::{Config, Datapath};

/// Another program's filter on the same side of the same link.
const FOREIGN: &str = "tc filter add dev eth0 egress pref 7 bpf bytecode '1,6 0 0 0,' flowid 1:1";

fn filters(ns: &Namespace) -> String {
    ns.output("tc", &["filter", "show", "dev", "eth0", "egress"])
        .unwrap()
}

#[test]
fn programs_and_maps_go_and_filters_of_others_stay() {
    let (ns, outside) = (
        Namespace::new("node").unwrap(),
        Namespace::new("outside").unwrap(),
    );
    connect(&ns, "eth0", &outside, "eth0").unwrap();
    let link = ns
        .netlink()
        .unwrap()
        .index_of(&"eth0".parse().unwrap())
        .unwrap();
    let pins = BpfFolder::new().unwrap();
    let config = Config {
        dir: pins.path().to_owned(),
        ..Config::default()
    };
    // The agent ends, what it made stays.
    ns.run(|| {
        let mut datapath = Datapath::open(&config).unwrap();
        datapath.attach_wire(link.0).unwrap();
    })
    .unwrap();
    ns.output("sh", &["-ec", FOREIGN]).unwrap();
    assert!(
        filters(&ns).contains("fairlead_to_wire"),
        "{}",
        filters(&ns)
    );

    let root = tempfile::tempdir().unwrap();
    let Output { status, stdout, .. } = ns
        .command(env!("CARGO_BIN_EXE_fairlead"))
        .args(["node", "cleanup", "--bpf-dir"])
        .arg(pins.path())
        .args(["data", "bin", "conf", "run"].iter().flat_map(|name| {
            let folder = root.path().join(name);
            fs::create_dir(&folder).unwrap();
            [format!("--{name}-dir"), folder.display().to_string()]
        }))
        .output()
        .unwrap();
    assert!(status.success());
    let told = String::from_utf8(stdout).unwrap();
    assert!(
        told.contains("removed filter fairlead_to_wire at egress of link eth0\n"),
        "{told}"
    );
    let left = filters(&ns);
    assert!(
        !left.contains("fairlead") && left.contains("pref 7 bpf"),
        "{left}"
    );
    assert!(!pins.path().exists(), "its pins are left");
}
