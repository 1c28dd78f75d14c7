use fairlead_cni_netlink::{
    Bridge, FdbEntry, LinkChange, LinkKind, Mac, NeighbourFlags, NewLink, PortChange, PortVlan,
};

use crate::bench::{Bench, name};

#[test]
fn a_bridge_and_its_ports_have_their_options() {
    let mut bench = Bench::new();
    let netlink = &mut bench.netlink;
    let options = Bridge {
        ageing_time: Some(12_300),
        stp: Some(false),
        multicast_snooping: Some(false),
        ..Bridge::default()
    };
    netlink
        .add_link(&NewLink {
            up: true,
            ..NewLink::bridge(name("br0"), options)
        })
        .unwrap();
    let bridge = netlink.link(&name("br0")).unwrap();
    let LinkKind::Bridge(found) = bridge.kind else {
        panic!()
    };
    assert_eq!(found.ageing_time, Some(12_300));
    assert_eq!(found.multicast_snooping, Some(false));

    netlink
        .set_link(&LinkChange::of(bench.link).master(Some(bridge.index)))
        .unwrap();
    let mut change = PortChange::of(name("eth0"));
    change.hairpin = Some(true);
    change.isolated = Some(true);
    change.learning = Some(false);
    netlink.set_port(&change).unwrap();
    let port = netlink.link_by_index(bench.link).unwrap();
    assert_eq!(port.master, Some(bridge.index));
    let port = port.port.unwrap();
    assert!(port.hairpin && port.isolated && !port.learning && port.unicast_flood);

    let options = Bridge {
        ageing_time: Some(100),
        ..Bridge::default()
    };
    netlink
        .set_link(&LinkChange::of(name("br0")).bridge(options))
        .unwrap();
    netlink
        .set_link(&LinkChange::of(bench.link).master(None))
        .unwrap();
    assert_eq!(netlink.link_by_index(bench.link).unwrap().master, None);
}

#[test]
fn port_options_of_a_link_that_is_no_port_are_refused_in_words() {
    let mut bench = Bench::new();
    let change = PortChange {
        hairpin: Some(true),
        ..PortChange::of(bench.link)
    };
    let error = bench.netlink.set_port(&change).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot change bridge port options of link {}: EOPNOTSUPP: Operation not supported on transport endpoint (this kernel has no support for it)",
            bench.link
        )
    );
}

#[test]
fn vlan_filtering_is_refused_where_the_kernel_lacks_it() {
    let mut bench = Bench::new();
    let options = Bridge {
        vlan_filtering: Some(true),
        ..Bridge::default()
    };
    if let Err(error) = bench
        .netlink
        .add_link(&NewLink::bridge(name("br0"), options))
    {
        assert!(error.is_unsupported());
        assert_eq!(
            error.to_string(),
            "cannot create link br0: EOPNOTSUPP: Operation not supported on transport endpoint (this kernel has no support for it)"
        );
    } else {
        let LinkKind::Bridge(found) = bench.netlink.link(&name("br0")).unwrap().kind else {
            panic!()
        };
        assert_eq!(found.vlan_filtering, Some(true));
    }
}

#[test]
fn vlans_of_a_port_are_refused_where_the_kernel_lacks_them() {
    let mut bench = Bench::new();
    let netlink = &mut bench.netlink;
    netlink
        .add_link(&NewLink::bridge(name("br0"), Bridge::default()))
        .unwrap();
    let bridge = netlink.index_of(&name("br0")).unwrap();
    netlink
        .set_link(&LinkChange::of(bench.link).master(Some(bridge)))
        .unwrap();
    let vlan = PortVlan {
        pvid: true,
        untagged: true,
        ..PortVlan::new(bench.link, 7)
    };
    let Err(error) = netlink.add_port_vlan(&vlan) else {
        assert!(netlink.port_vlans().unwrap().contains(&vlan));
        netlink.delete_port_vlan(&vlan).unwrap();
        assert!(!netlink.port_vlans().unwrap().contains(&vlan));
        return;
    };
    assert_eq!(
        error.to_string(),
        format!(
            "cannot change vlan 7 of link {}: EOPNOTSUPP: Operation not supported on transport endpoint (this kernel has no support for it)",
            bench.link
        )
    );
    assert_eq!(netlink.port_vlans().unwrap(), []);
}

#[test]
fn a_static_forwarding_entry_stands_in_the_bridge() {
    let mut bench = Bench::new();
    let netlink = &mut bench.netlink;
    netlink
        .add_link(&NewLink::bridge(name("br0"), Bridge::default()))
        .unwrap();
    let bridge = netlink.index_of(&name("br0")).unwrap();
    netlink
        .set_link(&LinkChange::of(bench.link).master(Some(bridge)))
        .unwrap();
    let entry = FdbEntry::bridged(bench.link, Mac([2, 0, 0, 0, 0, 7]));
    netlink.add_fdb(&entry).unwrap();
    let found = netlink.fdb(Some(bench.link)).unwrap();
    let found = found.iter().find(|found| found.mac == entry.mac).unwrap();
    assert_eq!(found.master, Some(bridge));
    assert!(!found.flags.contains(NeighbourFlags::SELF));
    netlink.delete_fdb(&entry).unwrap();
    assert!(
        netlink
            .fdb(Some(bench.link))
            .unwrap()
            .iter()
            .all(|found| found.mac != entry.mac)
    );
}
