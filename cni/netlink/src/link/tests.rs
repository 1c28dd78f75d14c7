use std::net::IpAddr;

use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::wire::Messages;

fn any_name() -> impl Strategy<Value = LinkName> {
    "[a-z][a-z0-9._-]{0,14}".prop_map(|name| LinkName::new(name).unwrap())
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
    ]
}

prop_compose! {
    fn any_bridge()(
        ageing_time in of(any::<u32>()),
        stp in of(any::<bool>()),
        vlan_filtering in of(any::<bool>()),
        vlan_default_pvid in of(any::<u16>()),
        multicast_snooping in of(any::<bool>()),
        nf_call_iptables in of(any::<bool>()),
        nf_call_ip6tables in of(any::<bool>()),
    ) -> Bridge {
        Bridge {
            ageing_time, stp, vlan_filtering, vlan_default_pvid, multicast_snooping,
            nf_call_iptables, nf_call_ip6tables,
        }
    }
}

prop_compose! {
    fn any_vxlan()(
        vni in any::<u32>(),
        addresses in (of(any_ip()), of(any_ip())),
        link in of(1..=u32::MAX),
        ports in (of(any::<u16>()), of(any::<(u16, u16)>())),
        ttl in of(any::<u8>()),
        bytes in (of(any::<u8>()), of(any::<u8>())),
        flow_label in of(any::<u32>()),
        learning in of(any::<bool>()),
        ageing in of(any::<u32>()),
        checksums in (of(any::<bool>()), of(any::<bool>()), of(any::<bool>())),
        collect_metadata in of(any::<bool>()),
    ) -> Vxlan {
        Vxlan {
            vni,
            local: addresses.0,
            remote: addresses.1,
            link: link.map(LinkIndex),
            port: ports.0,
            port_range: ports.1,
            ttl,
            ttl_inherit: false,
            tos: bytes.0,
            flow_label,
            df: bytes.1,
            learning,
            ageing,
            udp_csum: checksums.0,
            udp6_zero_csum_tx: checksums.1,
            udp6_zero_csum_rx: checksums.2,
            collect_metadata,
        }
    }
}

prop_compose! {
    fn any_link()(
        name in any_name(),
        kind in prop_oneof![
            any_bridge().prop_map(NewKind::Bridge),
            any_vxlan().prop_map(NewKind::Vxlan),
            any_name().prop_map(|name| NewKind::Veth(Peer { name, netns: None, mac: None, mtu: None })),
        ],
        index in of(1..=u32::MAX),
        mac in of(any::<[u8; 6]>()),
        mtu in of(any::<u32>()),
        master in of(1..=u32::MAX),
        up in any::<bool>(),
    ) -> NewLink<'static> {
        NewLink {
            index: index.map(LinkIndex),
            mac: mac.map(Mac),
            mtu,
            master: master.map(LinkIndex),
            up,
            ..NewLink::new(name, kind)
        }
    }
}

proptest! {
    #[test]
    fn a_link_comes_back_as_written(link in any_link()) {
        let mut w = Writer::default();
        link.write(&mut w);
        let message = Messages(w.bytes()).next().unwrap();
        let found = Link::read(message.body).unwrap();
        prop_assert_eq!(&found.name, &link.name);
        prop_assert_eq!(found.index, link.index.unwrap_or_default());
        prop_assert_eq!((found.mac, found.mtu), (link.mac, link.mtu.unwrap_or(0)));
        prop_assert_eq!((found.master, found.is_up()), (link.master, link.up));
        match (found.kind, link.kind) {
            (LinkKind::Bridge(found), NewKind::Bridge(wanted)) => prop_assert_eq!(found, wanted),
            (LinkKind::Vxlan(found), NewKind::Vxlan(wanted)) => prop_assert_eq!(*found, wanted),
            (LinkKind::Veth, NewKind::Veth(_)) => prop_assert_eq!(found.tx_queues, 1),
            (found, wanted) => prop_assert!(false, "{found:?} {wanted:?}"),
        }
    }
}

#[test]
fn a_vxlan_device_that_copies_the_ttl_says_so() {
    let mut w = Writer::default();
    let wanted = Vxlan {
        ttl_inherit: true,
        ..Vxlan::new(1)
    };
    wanted.write(&mut w);
    assert_eq!(Vxlan::read(w.bytes()), wanted);
}
