use fairlead_cni_netlink::{
    Batch, Family, Ipv4Conf, LinkChange, LinkFlags, LinkIndex, LinkKind, Mac, NetlinkError,
    NewLink, OperState, Peer, Sysctl, Vxlan,
};
use fairlead_e2e_lab::{Namespace, wait_until};

use crate::bench::{Bench, name};

#[test]
fn a_veth_pair_is_made_with_its_peer_in_another_namespace_by_one_message() {
    let (host, pod) = (
        Namespace::new("host").unwrap(),
        Namespace::new("pod").unwrap(),
    );
    let (ours, theirs) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
    let peer = Peer {
        name: name("eth0"),
        netns: Some(pod.fd()),
        mac: Some(theirs),
        mtu: Some(1400),
    };
    let mut link = NewLink::veth(name("fl0123456789ab"), peer);
    link.mac = Some(ours);
    link.mtu = Some(1400);
    link.up = true;
    host.netlink().unwrap().add_link(&link).unwrap();

    let inside = pod.netlink().unwrap().link(&name("eth0")).unwrap();
    assert_eq!(
        (inside.mac, inside.mtu, &inside.kind),
        (Some(theirs), 1400, &LinkKind::Veth)
    );
    assert_eq!((inside.tx_queues, inside.rx_queues), (1, 1));
    assert!(!inside.is_up());
    let outside = host
        .netlink()
        .unwrap()
        .link(&name("fl0123456789ab"))
        .unwrap();
    assert_eq!((outside.mac, outside.mtu), (Some(ours), 1400));
    assert_eq!((outside.tx_queues, outside.rx_queues), (1, 1));
    assert_eq!(
        (outside.peer, outside.peer_netns.is_some()),
        (Some(inside.index), true)
    );
    assert!(outside.is_up() && !outside.is_running());
    assert_ne!(outside.state, OperState::Up);

    pod.netlink()
        .unwrap()
        .set_link(&LinkChange::of(inside.index).up())
        .unwrap();
    // The kernel notices a carrier on a work queue.
    wait_until(fairlead_e2e_lab::LIMIT, "the carrier is noticed", || {
        let outside = host.netlink()?.link_by_index(outside.index)?;
        Ok(outside.is_running() && outside.carrier && outside.state == OperState::Up)
    })
    .unwrap();
}

#[test]
fn numbers_of_both_ends_can_be_chosen() {
    let ns = Namespace::new("ns").unwrap();
    let peer = Peer {
        name: name("b"),
        netns: None,
        mac: None,
        mtu: None,
    };
    let link = NewLink {
        index: Some(LinkIndex(77)),
        ..NewLink::veth(name("a"), peer)
    };
    let mut netlink = ns.netlink().unwrap();
    netlink.add_link(&link).unwrap();
    assert_eq!(netlink.index_of(&name("a")).unwrap(), LinkIndex(77));
}

#[test]
fn a_link_is_changed_in_every_way() {
    let mut bench = Bench::new();
    let (netlink, link) = (&mut bench.netlink, bench.link);
    let mac = Mac([2, 0, 0, 0, 0, 9]);
    let change = LinkChange::of(link)
        .down()
        .mtu(1300)
        .mac(mac)
        .alias("x")
        .promisc(true)
        .arp(false);
    netlink.set_link(&change.tx_queue_length(77)).unwrap();
    let found = netlink.link_by_index(link).unwrap();
    assert_eq!(
        (found.mtu, found.mac, found.alias.as_deref()),
        (1300, Some(mac), Some("x"))
    );
    assert_eq!((found.promiscuity, found.tx_queue_length), (1, 77));
    assert!(found.flags.contains(LinkFlags::NO_ARP | LinkFlags::PROMISC) && !found.is_up());

    netlink
        .set_link(&LinkChange::of(link).rename(name("new")).up().arp(true))
        .unwrap();
    let found = netlink.link(&name("new")).unwrap();
    assert!(found.is_up() && !found.flags.contains(LinkFlags::NO_ARP));
    assert_eq!(netlink.find_link(&name("eth0")).unwrap(), None);
    assert_eq!(
        netlink
            .links()
            .unwrap()
            .iter()
            .filter(|link| link.index == found.index)
            .count(),
        1
    );
}

#[test]
fn a_link_comes_up_without_a_link_local_address() {
    let mut bench = Bench::new();
    let mut batch = Batch::new();
    batch.set_link(&LinkChange::of(bench.link).down());
    batch.set_link(&LinkChange::of(bench.link).link_local(false));
    batch.set_link(&LinkChange::of(bench.link).up());
    bench.netlink.send(&batch).unwrap();
    wait_until(fairlead_e2e_lab::LIMIT, "the link runs", || {
        Ok(bench.netlink.link_by_index(bench.link)?.is_running())
    })
    .unwrap();
    assert_eq!(bench.netlink.addresses_of(bench.link).unwrap(), []);
}

#[test]
fn keys_of_the_ipv4_configuration_are_set_with_the_link() {
    let mut bench = Bench::new();
    let keys = [
        (Ipv4Conf::AcceptRedirects, "accept_redirects", 0),
        (Ipv4Conf::SendRedirects, "send_redirects", 0),
        (Ipv4Conf::RpFilter, "rp_filter", 1),
        (Ipv4Conf::ArpNotify, "arp_notify", 1),
    ];
    for wanted in [0, 1] {
        let values = keys.map(|(key, _, value)| (key, wanted ^ value));
        let change = LinkChange::of(bench.link).ipv4(&values).link_local(false);
        bench.netlink.set_link(&change).unwrap();
        for (_, key, value) in keys {
            let sysctl = Sysctl::interface(Family::V4, &name("eth0"), key);
            let read = bench.ns.run(|| sysctl.read()).unwrap().unwrap();
            assert_eq!(read, (wanted ^ value).to_string(), "{key}");
        }
    }
}

#[test]
fn a_link_counts_its_packets() {
    let mut bench = Bench::new();
    for (ns, ip) in [(&bench.ns, "10.9.0.1/24"), (&bench.far, "10.9.0.2/24")] {
        let mut netlink = ns.netlink().unwrap();
        let link = netlink.index_of(&name("eth0")).unwrap();
        let address = fairlead_cni_netlink::Address::new(link, ip.parse().unwrap());
        netlink.add_address(&address).unwrap();
    }
    let _echo = fairlead_e2e_lab::serve_echo(&bench.far, 7).unwrap();
    let to = "10.9.0.2:7".parse().unwrap();
    fairlead_e2e_lab::wait_reach(&bench.ns, to).unwrap();
    let seen = fairlead_e2e_lab::source_seen(&bench.ns, to).unwrap();
    assert_eq!(seen.to_string(), "10.9.0.1");
    let stats = bench.netlink.link_by_index(bench.link).unwrap().stats;
    assert!(
        stats.rx_packets > 0 && stats.tx_packets > 0 && stats.tx_bytes > 0,
        "{stats:?}"
    );
}

#[test]
fn a_vxlan_device_has_every_option_that_it_was_made_with() {
    let mut bench = Bench::new();
    for (number, local) in [(1, "192.0.2.1"), (2, "2001:db8::1")] {
        let wanted = Vxlan {
            local: Some(local.parse().unwrap()),
            link: Some(bench.link),
            port: Some(4789),
            port_range: Some((32768, 61000)),
            ttl: Some(64),
            tos: Some(1),
            df: Some(1),
            learning: Some(false),
            ageing: Some(60),
            udp_csum: Some(true),
            udp6_zero_csum_tx: Some(true),
            udp6_zero_csum_rx: Some(true),
            ..Vxlan::new(number)
        };
        let device = name(&format!("vx{number}"));
        bench
            .netlink
            .add_link(&NewLink::vxlan(device.clone(), wanted.clone()))
            .unwrap();
        let LinkKind::Vxlan(found) = bench.netlink.link(&device).unwrap().kind else {
            panic!()
        };
        let found = Vxlan {
            collect_metadata: None,
            flow_label: None,
            ..*found
        };
        assert_eq!(found, wanted);
    }
}

#[test]
fn deletion_says_when_there_is_nothing_to_delete() {
    let mut bench = Bench::new();
    bench.netlink.delete_link(name("eth0")).unwrap();
    let error = bench.netlink.delete_link(name("eth0")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot delete link eth0: ENODEV: No such device"
    );
    assert!(error.is_not_found());
    let error = bench.netlink.link(&name("eth0")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read link eth0: ENODEV: No such device"
    );
    assert_eq!(
        bench
            .far
            .netlink()
            .unwrap()
            .find_link(&name("eth0"))
            .unwrap(),
        None
    );
}

#[test]
fn refusals_carry_the_kernels_words() {
    let mut bench = Bench::new();
    let peer = Peer {
        name: name("p"),
        netns: None,
        mac: None,
        mtu: None,
    };
    let again = NewLink::veth(name("eth0"), peer.clone());
    let error = bench.netlink.add_link(&again).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot create link eth0: EEXIST: File exists"
    );
    assert!(error.is_exists());

    let error = bench
        .netlink
        .set_link(&LinkChange::of(bench.link).mtu(10))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot change link {}: EINVAL: Invalid argument: mtu less than device minimum",
            bench.link
        )
    );

    let error = bench
        .netlink
        .set_link(&LinkChange::of(LinkIndex(9999)).up())
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot change link 9999: ENODEV: No such device"
    );

    let other = NewLink::new(
        name("x"),
        fairlead_cni_netlink::NewKind::Other("nonsense".into()),
    );
    let error = bench.netlink.add_link(&other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot create link x: EOPNOTSUPP: Operation not supported on transport endpoint: \
         Unknown device type (this kernel has no support for it)"
    );
    assert!(error.is_unsupported());

    let error = bench
        .netlink
        .add_link(&NewLink::vxlan(name("vx"), Vxlan::new(1 << 24)))
        .unwrap_err();
    let NetlinkError::Refused {
        message, offset, ..
    } = error
    else {
        panic!()
    };
    assert!(
        message.is_some() && offset.is_some(),
        "{message:?} {offset:?}"
    );
}

#[test]
fn checksum_offload_is_read_and_switched() {
    let mut bench = Bench::new();
    let eth0 = name("eth0");
    assert!(bench.netlink.tx_checksum(&eth0).unwrap());
    bench.netlink.set_tx_checksum(&eth0, false).unwrap();
    assert!(!bench.netlink.tx_checksum(&eth0).unwrap());
    bench.netlink.set_tx_checksum(&eth0, true).unwrap();
    assert!(bench.netlink.tx_checksum(&eth0).unwrap());
    let error = bench.netlink.tx_checksum(&name("none")).unwrap_err();
    assert!(error.is_not_found());
    assert_eq!(
        error.to_string(),
        "cannot read checksum offload of link none: ENODEV: No such device"
    );
}

#[test]
fn a_vxlan_device_gets_another_local_address_in_place() {
    let mut bench = Bench::new();
    let tunnel = name("tunnel");
    let options = Vxlan {
        local: Some("192.0.2.1".parse().unwrap()),
        port: Some(4789),
        learning: Some(false),
        ..Vxlan::new(7)
    };
    bench
        .netlink
        .add_link(&NewLink::vxlan(tunnel.clone(), options))
        .unwrap();
    let before = bench.netlink.link(&tunnel).unwrap();
    let change = Vxlan {
        local: Some("192.0.2.2".parse().unwrap()),
        ttl: Some(9),
        tos: Some(40),
        ..Vxlan::new(7)
    };
    bench
        .netlink
        .set_link(&LinkChange::of(&tunnel).vxlan(change.clone()))
        .unwrap();
    let after = bench.netlink.link(&tunnel).unwrap();
    let LinkKind::Vxlan(mut expected) = before.kind else {
        panic!("{:?}", before.kind)
    };
    (expected.local, expected.ttl, expected.tos) = (change.local, change.ttl, change.tos);
    assert_eq!(
        (after.index, after.kind),
        (before.index, LinkKind::Vxlan(expected))
    );
    let port = Vxlan {
        port: Some(8472),
        ..change
    };
    let error = bench
        .netlink
        .set_link(&LinkChange::of(&tunnel).vxlan(port))
        .unwrap_err();
    assert!(error.is_unsupported(), "{error}");
}
