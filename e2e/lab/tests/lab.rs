//! The lab itself: what it makes is private, and gone afterwards.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use fairlead_cni_netlink::{Address, LinkIndex, NetNs};
use fairlead_e2e_lab::{
    Namespace, Snapshot, Underlay, can_reach, can_reach_udp, connect, serve_echo, wait_reach,
    wait_refused, wait_until,
};

/// A namespace with `eth0` that leads to a second one.
#[cfg(test)]
fn cabled() -> (Namespace, Namespace, LinkIndex) {
    let (near, far) = (
        Namespace::new("near").unwrap(),
        Namespace::new("far").unwrap(),
    );
    let (link, _) = connect(&near, "eth0", &far, "eth0").unwrap();
    (near, far, link)
}

#[test]
fn nodes_of_an_underlay_reach_each_other() {
    let underlay = Underlay::new(3).unwrap();
    let _echo = serve_echo(&underlay.nodes[2].ns, 7).unwrap();
    let far = &underlay.nodes[2];
    for ip in [std::net::IpAddr::from(far.v4), far.v6.into()] {
        wait_reach(&underlay.nodes[0].ns, (ip, 7).into()).unwrap();
    }
    wait_refused(&underlay.nodes[0].ns, (underlay.nodes[1].v4, 7).into()).unwrap();
}

#[test]
fn a_snapshot_says_what_changed() {
    let (ns, _far, link) = cabled();
    let before = Snapshot::of(&ns).unwrap();
    let address = Address::new(link, "10.1.0.2/24".parse().unwrap());
    ns.netlink().unwrap().add_address(&address).unwrap();
    let after = Snapshot::of(&ns).unwrap();
    assert_eq!(
        before.diff(&after),
        "+ address 10.1.0.2/24 on eth0 Universe \n\
         + route 10.1.0.0/24 on eth0 kind Unicast protocol 2 scope Link metric 0 from 10.1.0.2\n"
    );
    ns.netlink().unwrap().delete_address(&address).unwrap();
    assert_eq!(before.diff(&Snapshot::of(&ns).unwrap()), "");
}

#[test]
fn a_snapshot_has_the_ruleset() {
    let ns = Namespace::new("ns").unwrap();
    let before = Snapshot::of(&ns).unwrap();
    let script = "table ip t { set s { type ipv4_addr; elements = { 10.0.0.1 } }; \
                  chain c { ip saddr @s counter drop; }; }";
    ns.output("nft", &[script]).unwrap();
    let diff = before.diff(&Snapshot::of(&ns).unwrap());
    let lines: Vec<_> = diff
        .lines()
        .map(|line| &line[..line.len().min(25)])
        .collect();
    assert_eq!(
        lines,
        [
            "+ element Element { key: ",
            "+ nft chain ip t c None N",
            "+ nft rule 1 in chain ip ",
            "+ nft set ip t s [Ipv4Add",
            "+ nft table ip t",
        ]
    );
    ns.output("nft", &["delete table ip t"]).unwrap();
    assert_eq!(before.diff(&Snapshot::of(&ns).unwrap()), "");
}

#[test]
fn a_command_runs_inside() {
    let (ns, _far, _) = cabled();
    let text = ns.output("ip", &["-o", "link", "show", "eth0"]).unwrap();
    assert!(text.contains("eth0"), "{text}");
    let error = ns.output("ip", &["link", "show", "nope"]).unwrap_err();
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[test]
fn a_namespace_is_gone_when_it_is_dropped() {
    let ns = Namespace::new("short-lived").unwrap();
    let path = ns.path().to_owned();
    assert_eq!(NetNs::open(&path).unwrap().id().unwrap(), ns.id().unwrap());
    assert_eq!(path.file_name().unwrap(), "short-lived");
    drop(ns);
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

#[test]
fn what_a_killed_process_left_is_removed_by_the_next() {
    // A process id that was in use a moment ago and is not any more.
    let mut child = Command::new("true").spawn().unwrap();
    let dead = child.id();
    child.wait().unwrap();
    let home = Path::new("/run/fairlead-lab").join(format!("{dead}-0"));
    std::fs::create_dir_all(&home).unwrap();
    NetNs::create().unwrap().pin(home.join("left")).unwrap();
    // Sweeping is done once in a process: another run of this test binary does it.
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_namespace_is_gone_when_it_is_dropped"])
        .output()
        .unwrap();
    assert!(again.status.success());
    assert!(!home.exists());
}

#[test]
fn nobody_answers_where_nobody_serves() {
    let (near, far, link) = cabled();
    let address = Address::new(link, "10.1.0.2/24".parse().unwrap());
    near.netlink().unwrap().add_address(&address).unwrap();
    let to = "10.1.0.1:7".parse().unwrap();
    assert!(!can_reach(&near, to).unwrap());
    assert!(!can_reach_udp(&near, to).unwrap());
    drop(far);
}

#[test]
fn waiting_ends_with_what_did_not_come_about() {
    let mut looks = 0;
    let error = wait_until(Duration::from_millis(30), "the sky falls", || {
        looks += 1;
        Ok(false)
    })
    .unwrap_err();
    assert_eq!(error.to_string(), "not within 30ms: the sky falls");
    assert!(looks > 1);
}
