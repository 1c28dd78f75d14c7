//! Opening: what is taken over, what is made anew, and what is said of it.

use fairlead_netpol_datapath::{Config, Datapath, DatapathError, Found, MapName, home, remove};

use crate::bench::{Bench, packets};

#[test]
fn what_is_pinned_is_taken_over() {
    let bench = Bench::new();
    let first = bench.open();
    assert_eq!(*first.found(), Found::Nothing);
    let node_program = first.node_program().to_owned();
    drop(first);
    let second = bench.open();
    assert_eq!(*second.found(), Found::Same);
    assert_eq!(second.node_program(), node_program);
}

#[test]
fn a_folder_outside_of_a_bpf_file_system_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        dir: dir.path().join("x"),
        ..Config::default()
    };
    let error = Datapath::open(&config).unwrap_err();
    assert!(matches!(error, DatapathError::NotBpfFs { .. }), "{error}");
}

#[test]
fn maps_of_another_size_are_made_anew_and_said() {
    let mut bench = Bench::new();
    let mut first = bench.open();
    first.resync(&bench.open_tables()).unwrap();
    let node_program = first.node_program().to_owned();

    bench.config.sizes.cells = 128;
    let mut second = bench.open();
    let expected = Found::OtherMaps {
        map: MapName::Cells,
        why: "it has room for 64 entries instead of 128".to_owned(),
    };
    assert_eq!(*second.found(), expected);
    assert_ne!(second.node_program(), node_program);
    assert!(!node_program.exists());
    let cells = |of: &Datapath| {
        let fill = of.fill();
        let cells = fill.iter().find(|fill| fill.map == MapName::Cells).unwrap();
        (cells.entries, cells.capacity)
    };
    assert_eq!(cells(&second), (0, 128));
    assert!(second.resync(&bench.open_tables()).unwrap().written > 0);
    drop(second);
    assert_eq!(*bench.open().found(), Found::Same);
}

#[test]
fn everything_is_removed() {
    let (bench, datapath) = Bench::up();
    let home = home(&bench.config.dir);
    assert!(home.exists());
    let (removed, failed) = bench.node.run(|| remove(&bench.config.dir)).unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    let links = bench.pods.iter().map(|pod| pod.host_end);
    for link in links {
        assert!(removed.contains(&format!("policy filters of link {link}")));
    }
    assert!(removed.contains(&format!("BPF folder {}", bench.config.dir.display())));
    assert!(!bench.config.dir.exists());
    let qdiscs = bench.node.netlink().unwrap().qdiscs().unwrap();
    assert!(qdiscs.iter().all(|qdisc| qdisc.kind != "clsact"));
    drop(datapath);
    let (removed, failed) = bench.node.run(|| remove(&bench.config.dir)).unwrap();
    assert!(removed.is_empty() && failed.is_empty());
}

#[test]
fn a_pod_that_nobody_has_spoken_of_sends_nothing() {
    use fairlead_netpol_datapath::{Hook, Reason};
    let (bench, datapath) = Bench::up();
    let [from, to] = &bench.pods;
    let reached = fairlead_e2e_lab::can_reach_udp(&from.ns, to.at(7)).unwrap();
    assert!(!reached);
    assert!(packets(&datapath, Hook::FromPod, Reason::Starting) > 0);
}
