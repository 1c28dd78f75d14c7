use fairlead_cni_netlink::{Event, FilterHook, FilterPlace, Group, Monitor, Qdisc};
use fairlead_e2e_lab::{LIMIT, wait_until};

use crate::bench::Bench;

#[test]
fn clsact_is_made_told_listed_and_removed() {
    let mut bench = Bench::new();
    let mut monitor = Monitor::open_in(bench.ns.netns(), &[Group::Filter]).unwrap();
    let mut told = || {
        wait_until(LIMIT, "the change is told", || {
            Ok(monitor.read()?.contains(&Event::Filters(bench.link)))
        })
    };
    let clsact = Qdisc {
        link: bench.link,
        kind: Qdisc::CLSACT.to_owned(),
    };
    assert!(!bench.netlink.qdiscs().unwrap().contains(&clsact));
    bench.netlink.add_clsact(bench.link).unwrap();
    told().unwrap();
    assert!(bench.netlink.qdiscs().unwrap().contains(&clsact));
    assert!(
        bench
            .netlink
            .add_clsact(bench.link)
            .unwrap_err()
            .is_exists()
    );
    bench.netlink.delete_clsact(bench.link).unwrap();
    told().unwrap();
    assert!(!bench.netlink.qdiscs().unwrap().contains(&clsact));
}

#[test]
fn a_link_without_filters_has_none_with_clsact_and_without() {
    let mut bench = Bench::new();
    for _ in 0..2 {
        for hook in FilterHook::ALL {
            assert_eq!(bench.netlink.filters(bench.link, hook).unwrap(), []);
        }
        assert!(!bench.netlink.has_filters(bench.link).unwrap());
        let _ = bench.netlink.add_clsact(bench.link);
    }
}

#[test]
fn what_is_no_bpf_program_is_refused() {
    let mut bench = Bench::new();
    bench.netlink.add_clsact(bench.link).unwrap();
    let place = FilterPlace {
        link: bench.link,
        hook: FilterHook::Egress,
        priority: 1,
        handle: 1,
    };
    let stranger = bench.far.fd();
    let error = bench
        .netlink
        .replace_filter(place, "x", stranger)
        .unwrap_err();
    let link = bench.link;
    assert_eq!(
        error.to_string(),
        format!(
            "cannot create filter 0x1 of priority 1 at egress of link {link}: EINVAL: Invalid argument"
        )
    );
    assert!(
        bench
            .netlink
            .delete_filter(place)
            .unwrap_err()
            .errno()
            .is_some()
    );
}
