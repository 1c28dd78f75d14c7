use proptest::prelude::*;

use super::*;
use crate::{Code, Version};

/// A result that uses every key.
fn full() -> AddResult {
    let ip = |address: &str, gateway: &str, interface| Ip {
        address: address.parse().unwrap(),
        gateway: Some(gateway.parse().unwrap()),
        interface: Some(interface),
    };
    AddResult {
        interfaces: vec![
            Interface {
                name: "cni0".into(),
                mac: Some("00:11:22:33:44:55".into()),
                ..Interface::default()
            },
            Interface {
                name: "eth0".into(),
                mac: Some("99:88:77:66:55:44".into()),
                mtu: Some(1500),
                sandbox: Some("/var/run/netns/blue".into()),
                socket_path: Some("/run/vhost.sock".into()),
                pci_id: Some("0000:00:01.0".into()),
            },
        ],
        ips: vec![
            ip("10.1.0.5/16", "10.1.0.1", 1),
            ip("10.2.0.5/16", "10.2.0.1", 1),
            ip("fd00::5/64", "fd00::1", 1),
        ],
        routes: vec![
            Route::new(
                "0.0.0.0/0".parse().unwrap(),
                Some("10.1.0.1".parse().unwrap()),
            ),
            Route {
                mtu: Some(1400),
                advmss: Some(1360),
                priority: Some(10),
                table: Some(100),
                scope: Some(253),
                ..Route::new("fd01::/64".parse().unwrap(), None)
            },
        ],
        dns: Dns {
            nameservers: vec!["10.1.0.1".into()],
            domain: Some("example.org".into()),
            search: vec!["a.example.org".into()],
            options: vec!["ndots:5".into()],
        },
    }
}

#[test]
fn every_version_has_its_golden_file() {
    for version in Version::ALL {
        insta::assert_json_snapshot!(version.as_str(), full().to_version(version).unwrap());
    }
}

#[test]
fn an_empty_result_has_its_golden_file() {
    insta::assert_json_snapshot!(
        "empty-0.4.0",
        AddResult::default().to_version(Version::V0_4_0).unwrap()
    );
    insta::assert_json_snapshot!(
        "empty-1.1.0",
        AddResult::default().to_version(Version::V1_1_0).unwrap()
    );
}

#[test]
fn the_newest_version_loses_nothing() {
    let json = full().to_version(Version::V1_1_0).unwrap().to_string();
    assert_eq!(
        AddResult::parse(json.as_bytes(), Version::V1_1_0).unwrap(),
        full()
    );
}

#[test]
fn the_oldest_versions_need_an_address() {
    let error = AddResult::default()
        .to_version(Version::V0_2_0)
        .unwrap_err();
    assert_eq!(error.code(), Code::IncompatibleVersion);
    assert_eq!(
        error.to_string(),
        "a result without addresses cannot be written as cniVersion 0.2.0, that needs 0.3.0 or newer"
    );
}

#[test]
fn a_results_own_version_counts_and_the_callers_when_it_has_none() {
    let old = br#"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24","gateway":"10.0.0.1","routes":[{"dst":"0.0.0.0/0"}]}}"#;
    let result = AddResult::parse(old, Version::V1_0_0).unwrap();
    assert_eq!(result.ips[0].address.to_string(), "10.0.0.2/24");
    assert_eq!(result.routes.len(), 1);
    let bare = br#"{"ip6":{"ip":"fd00::2/64"}}"#;
    assert_eq!(
        AddResult::parse(bare, Version::V0_1_0).unwrap().ips.len(),
        1
    );
    assert_eq!(
        AddResult::parse(bare, Version::V1_0_0).unwrap().ips.len(),
        0
    );
}

#[test]
fn what_is_wrong_in_a_result_is_named() {
    let text = |json: &str| {
        AddResult::parse(json.as_bytes(), Version::V1_0_0)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(text("x"), "the result is not a JSON object");
    assert_eq!(
        text(r#"{"ips":[{"address":"10.0.0.1"}]}"#),
        "ips[0].address: \"10.0.0.1\" is not legal, it must be an address with a prefix length, as 10.1.0.5/16 or fd00::5/64"
    );
    assert_eq!(
        text(r#"{"ips":[{}]}"#),
        "ips[0].address: missing, it must be an address with a prefix length"
    );
    assert_eq!(
        text(r#"{"routes":[{"dst":"0.0.0.0/0","gw":"me"}]}"#),
        "routes[0].gw: \"me\" is not legal, it must be an IPv4 or IPv6 address"
    );
    assert_eq!(
        text(r#"{"cniVersion":"9.0.0"}"#),
        "cniVersion: \"9.0.0\" is not spoken here, known are 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
    );
}

fn network() -> impl Strategy<Value = IpNetwork> {
    prop_oneof![
        (any::<[u8; 4]>(), 0..=32u8).prop_map(|(a, p)| IpNetwork::new(IpAddr::from(a), p).unwrap()),
        (any::<[u8; 16]>(), 0..=128u8)
            .prop_map(|(a, p)| IpNetwork::new(IpAddr::from(a), p).unwrap()),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from)
    ]
}

fn text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of("\\PC{1,12}")
}

fn positive() -> impl Strategy<Value = Option<u32>> {
    proptest::option::of(1..=u32::MAX)
}

fn interface() -> impl Strategy<Value = Interface> {
    ("\\PC{1,15}", text(), positive(), text(), text(), text()).prop_map(
        |(name, mac, mtu, sandbox, socket_path, pci_id)| Interface {
            name,
            mac,
            mtu,
            sandbox,
            socket_path,
            pci_id,
        },
    )
}

fn route() -> impl Strategy<Value = Route> {
    let option = || proptest::option::of(any::<u32>());
    (
        network(),
        proptest::option::of(address()),
        positive(),
        positive(),
        positive(),
        option(),
        option(),
    )
        .prop_map(|(dst, gw, mtu, advmss, priority, table, scope)| Route {
            dst,
            gw,
            mtu,
            advmss,
            priority,
            table,
            scope,
        })
}

fn result() -> impl Strategy<Value = AddResult> {
    let ip = (
        network(),
        proptest::option::of(address()),
        proptest::option::of(any::<u32>()),
    )
        .prop_map(|(address, gateway, interface)| Ip {
            address,
            gateway,
            interface,
        });
    let texts = || proptest::collection::vec("\\PC{0,8}", 0..3);
    let dns =
        (texts(), text(), texts(), texts()).prop_map(|(nameservers, domain, search, options)| {
            Dns {
                nameservers,
                domain,
                search,
                options,
            }
        });
    (
        proptest::collection::vec(interface(), 0..4),
        proptest::collection::vec(ip, 0..4),
        proptest::collection::vec(route(), 0..4),
        dns,
    )
        .prop_map(|(interfaces, ips, routes, dns)| AddResult {
            interfaces,
            ips,
            routes,
            dns,
        })
}

fn through(result: &AddResult, version: Version) -> AddResult {
    let json = result.to_version(version).unwrap().to_string();
    AddResult::parse(json.as_bytes(), version).unwrap()
}

proptest! {
    #[test]
    fn a_result_goes_through_the_newest_version_unchanged(result in result()) {
        prop_assert_eq!(through(&result, Version::V1_1_0), result);
    }

    #[test]
    fn what_a_version_cannot_say_is_lost_once_and_no_more(result in result(), at in 0..Version::ALL.len()) {
        let version = Version::ALL[at];
        prop_assume!(version >= Version::V0_3_0 || !result.ips.is_empty());
        let once = through(&result, version);
        prop_assert_eq!(through(&once, version), once);
    }

    #[test]
    fn addresses_and_destinations_survive_every_list_version(result in result(), at in 2..Version::ALL.len()) {
        let read = through(&result, Version::ALL[at]);
        prop_assert_eq!(&read.ips, &result.ips);
        prop_assert_eq!(
            read.routes.iter().map(|r| (r.dst, r.gw)).collect::<Vec<_>>(),
            result.routes.iter().map(|r| (r.dst, r.gw)).collect::<Vec<_>>()
        );
    }
}
