use fairlead_cni_netlink::{
    Family, FdbEntry, Mac, Neighbour, NeighbourState, NewLink, NextHop, Vxlan,
};

use crate::bench::{Bench, name};

#[test]
fn permanent_neighbours_of_both_families_stand() {
    let mut bench = Bench::new();
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    for ip in ["169.254.1.1", "fe80::1"] {
        let neighbour = Neighbour::permanent(bench.link, ip.parse().unwrap(), mac);
        bench.netlink.add_neighbour(&neighbour).unwrap();
        let error = bench.netlink.add_neighbour(&neighbour).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot create neighbour {ip} at {mac} on link {}: EEXIST: File exists",
                bench.link
            )
        );
        let all = bench.netlink.neighbours(Family::of(neighbour.ip)).unwrap();
        let found = all.iter().find(|found| found.ip == neighbour.ip).unwrap();
        assert_eq!(
            (found.mac, found.state),
            (Some(mac), NeighbourState::PERMANENT)
        );

        let moved = Neighbour {
            mac: Some(Mac([2, 0, 0, 0, 0, 2])),
            ..neighbour.clone()
        };
        bench.netlink.replace_neighbour(&moved).unwrap();
        let one = bench.netlink.neighbour(bench.link, neighbour.ip).unwrap();
        assert_eq!(one.unwrap().mac, moved.mac);
        let lo = bench.netlink.index_of(&name("lo")).unwrap();
        assert_eq!(bench.netlink.neighbour(lo, neighbour.ip).unwrap(), None);

        bench.netlink.delete_neighbour(&neighbour).unwrap();
        let all = bench.netlink.neighbours(Family::of(neighbour.ip)).unwrap();
        assert!(
            all.iter()
                .all(|found| found.ip != neighbour.ip || found.mac.is_none()),
            "{all:?}"
        );
    }
}

#[test]
fn a_vxlan_device_forwards_to_tunnel_endpoints() {
    let mut bench = Bench::new();
    let netlink = &mut bench.netlink;
    let device = Vxlan {
        port: Some(4789),
        learning: Some(false),
        ..Vxlan::new(1)
    };
    netlink
        .add_link(&NewLink::vxlan(name("vx"), device))
        .unwrap();
    let link = netlink.index_of(&name("vx")).unwrap();
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    let entry = FdbEntry::remote(link, mac, "192.0.2.7".parse().unwrap());
    netlink.add_fdb(&entry).unwrap();
    let found = netlink.fdb(Some(link)).unwrap();
    assert_eq!(
        found
            .iter()
            .filter(|found| found.mac == mac)
            .collect::<Vec<_>>(),
        [&entry]
    );
    netlink.delete_fdb(&entry).unwrap();
    assert!(
        netlink
            .fdb(Some(link))
            .unwrap()
            .iter()
            .all(|found| found.mac != mac)
    );

    let endpoints = NextHop::tunnel(31, "192.0.2.7".parse().unwrap());
    netlink.add_next_hop(&endpoints).unwrap();
    netlink
        .add_next_hop(&NextHop {
            fdb: true,
            ..NextHop::group(32, vec![(31, 1)])
        })
        .unwrap();
    let shared = FdbEntry {
        next_hop: Some(32),
        ..FdbEntry::new(link, mac)
    };
    netlink.add_fdb(&shared).unwrap();
    let found = netlink.fdb(None).unwrap();
    assert!(found.contains(&shared), "{found:?}");
}

#[test]
fn neighbours_of_one_link_are_listed_without_those_of_others() {
    let mut bench = Bench::new();
    let (other, _) = fairlead_e2e_lab::connect(&bench.ns, "eth1", &bench.far, "eth1").unwrap();
    let mac = Mac([2, 0, 0, 0, 0, 1]);
    for (link, ip) in [
        (bench.link, "192.0.2.1"),
        (other, "192.0.2.2"),
        (bench.link, "fd00::1"),
        (other, "fd00::2"),
    ] {
        let neighbour = Neighbour::permanent(link, ip.parse().unwrap(), mac);
        bench.netlink.add_neighbour(&neighbour).unwrap();
    }
    for (family, ip) in [(Family::V4, "192.0.2.1"), (Family::V6, "fd00::1")] {
        let found = bench.netlink.neighbours_of(family, bench.link).unwrap();
        let permanent: Vec<String> = found
            .iter()
            .filter(|found| found.state == NeighbourState::PERMANENT)
            .map(|found| found.ip.to_string())
            .collect();
        assert_eq!(permanent, [ip]);
        assert!(found.iter().all(|found| found.link == bench.link));
    }
}
