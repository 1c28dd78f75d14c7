use fairlead_cni_netlink::{Errno, Family, NetNs, Netlink, Sysctl};
use fairlead_e2e_lab::Namespace;

use crate::bench::{Bench, name};

#[test]
fn a_closure_runs_inside_and_the_thread_comes_back() {
    let ns = Namespace::new("ns").unwrap();
    let before = NetNs::current().unwrap().id().unwrap();
    let inside = ns
        .netns()
        .run(|| NetNs::current().unwrap().id().unwrap())
        .unwrap();
    assert_eq!(inside, ns.id().unwrap());
    assert_eq!(NetNs::open(ns.path()).unwrap().id().unwrap(), inside);
    assert_eq!(ns.netns().try_clone().unwrap().id().unwrap(), inside);
    let panicked = std::panic::catch_unwind(|| ns.netns().run(|| panic!("inside")));
    assert!(panicked.is_err());
    assert_eq!(NetNs::current().unwrap().id().unwrap(), before);
    assert_ne!(inside, before);
}

#[test]
fn a_socket_stays_in_the_namespace_that_it_was_opened_in() {
    let bench = Bench::new();
    let ns = NetNs::open(bench.ns.path()).unwrap();
    let mut netlink = Netlink::open_in(&ns).unwrap();
    assert_eq!(netlink.index_of(&name("eth0")).unwrap(), bench.link);
}

#[test]
fn what_is_no_namespace_is_refused_in_words() {
    let file = std::env::temp_dir();
    let error = NetNs::open(&file).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot open network namespace {}: Invalid argument (os error 22) (the file is no network namespace)",
            file.display()
        )
    );
    let error = NetNs::open("/nonexistent/ns").unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open network namespace /nonexistent/ns: No such file or directory (os error 2)"
    );
    assert!(error.is_not_found());
    let error = NetNs::open("/proc/self/ns/mnt")
        .unwrap()
        .enter()
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot enter network namespace /proc/self/ns/mnt: Invalid argument (os error 22) (the file is no network namespace)"
    );
}

#[test]
fn a_name_is_taken_away_twice() {
    let ns = NetNs::create().unwrap();
    let path = std::env::temp_dir().join(format!("fairlead-netns-{}", std::process::id()));
    ns.pin(&path).unwrap();
    assert_eq!(NetNs::open(&path).unwrap().id().unwrap(), ns.id().unwrap());
    NetNs::unpin(&path).unwrap();
    NetNs::unpin(&path).unwrap();
    assert!(!path.exists());
}

#[test]
fn sysctls_are_those_of_the_namespace() {
    let bench = Bench::new();
    let forwarding = Sysctl::new("net/ipv4/ip_forward");
    bench
        .ns
        .run(|| {
            assert!(forwarding.ensure("1").unwrap());
            assert!(!forwarding.ensure("1").unwrap());
        })
        .unwrap();
    assert_eq!(bench.ns.run(|| forwarding.read().unwrap()).unwrap(), "1");
    assert_eq!(
        bench
            .far
            .netns()
            .run(|| forwarding.read().unwrap())
            .unwrap(),
        "0"
    );
}

#[test]
fn a_sysctl_of_a_link_with_a_dot_in_its_name_is_found() {
    let mut bench = Bench::new();
    let dotted = name("eth0.100");
    let peer = fairlead_cni_netlink::Peer {
        name: name("p"),
        netns: None,
        mac: None,
        mtu: None,
    };
    bench
        .netlink
        .add_link(&fairlead_cni_netlink::NewLink::veth(dotted.clone(), peer))
        .unwrap();
    let key = Sysctl::interface(Family::V6, &dotted, "accept_ra");
    assert_eq!(key.to_string(), "sysctl net/ipv6/conf/eth0.100/accept_ra");
    bench.ns.run(|| key.write("0").unwrap()).unwrap();
    assert_eq!(bench.ns.run(|| key.read().unwrap()).unwrap(), "0");

    let missing = Sysctl::interface(Family::V4, &name("nope"), "rp_filter");
    let error = bench.ns.run(|| missing.write("0").unwrap_err()).unwrap();
    assert_eq!(
        error.to_string(),
        "cannot write \"0\" to sysctl /proc/sys/net/ipv4/conf/nope/rp_filter: No such file or directory (os error 2)"
    );
    assert!(error.is_not_found());
    let error = bench.ns.run(|| key.write("many").unwrap_err()).unwrap();
    assert_eq!(error.errno(), Some(Errno::EINVAL));
}
