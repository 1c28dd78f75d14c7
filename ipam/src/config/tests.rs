use serde_json::{Value, json};

use super::*;

fn parse_with(ipam: &Value, rest: &Value, cni_args: &str) -> Result<Config> {
    let mut net = json!({"cniVersion": "0.3.1", "name": "mynet", "type": "bridge", "ipam": ipam});
    for (key, value) in rest.as_object().unwrap() {
        net[key] = value.clone();
    }
    Config::parse(net.to_string().as_bytes(), cni_args)
}

fn parse(ipam: &Value) -> Result<Config> {
    parse_with(ipam, &json!({}), "")
}

fn texts(config: &Config) -> Vec<String> {
    config.sets.iter().map(ToString::to_string).collect()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn all_sources_of_ranges_are_joined_in_host_locals_order() {
    let ipam = json!({
        "type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.20",
        "gateway": "10.1.2.30", "ranges": [[{"subnet": "11.1.2.0/24", "gateway": ""}, {"subnet": "11.1.4.0/24"}]],
    });
    let runtime =
        json!({"runtimeConfig": {"irrelevant": "a", "ipRanges": [[{"subnet": "12.1.3.0/24"}]]}});
    let config = parse_with(&ipam, &runtime, "").unwrap();
    assert_eq!(
        texts(&config),
        [
            "12.1.3.1-12.1.3.254",
            "10.1.2.9-10.1.2.20",
            "11.1.2.1-11.1.2.254,11.1.4.1-11.1.4.254"
        ]
    );
    assert_eq!(
        config.sets[1].ranges()[0].gateway(),
        Some("10.1.2.30".parse().unwrap())
    );
    assert_eq!(config.data_dir, Path::new(DEFAULT_DATA_DIR));
    assert_eq!(config.network.as_str(), "mynet");
}

#[test]
fn data_dir_routes_and_resolv_conf_are_read() {
    let config = parse(&json!({
        "subnet": "fd00::/64", "dataDir": "/run/x", "resolvConf": "/etc/resolv.conf",
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "fd01::/16", "gw": "fd00::9", "mtu": 1400, "priority": 7}],
    }))
    .unwrap();
    assert_eq!(config.data_dir, Path::new("/run/x"));
    assert_eq!(
        config.resolv_conf.as_deref(),
        Some(Path::new("/etc/resolv.conf"))
    );
    assert_eq!(config.routes[0].gw, None);
    assert_eq!(
        (config.routes[1].mtu, config.routes[1].priority),
        (Some(1400), Some(7))
    );
}

#[test]
fn requested_addresses_come_from_args_before_the_runtime() {
    let rest = json!({
        "args": {"cni": {"ips": ["10.1.2.11/24", "2001:db8:1::11"]}},
        "runtimeConfig": {"ips": ["192.168.0.5/24", "10.1.2.11", "::ffff:10.1.2.12"]},
    });
    let config = parse_with(&json!({"subnet": "10.1.2.0/24"}), &rest, "IP=10.1.2.10").unwrap();
    assert_eq!(
        config.requested,
        ips(&["10.1.2.11", "2001:db8:1::11", "192.168.0.5", "10.1.2.12"])
    );
}

#[test]
fn ip_of_cni_args_counts_only_where_args_name_none() {
    let range = json!({"subnet": "10.1.2.0/24"});
    let config = parse_with(
        &range,
        &json!({}),
        "IgnoreUnknown=1;K8S_POD_NAME=a=b;IP=10.1.2.10/24",
    );
    assert_eq!(config.unwrap().requested, ips(&["10.1.2.10"]));
    let config = parse_with(
        &range,
        &json!({"args": {"cni": {"ips": []}}}),
        "IP=10.1.2.10",
    );
    assert_eq!(config.unwrap().requested, ips(&["10.1.2.10"]));
    assert_eq!(
        parse_with(&range, &json!({}), "IP=").unwrap().requested,
        ips(&[])
    );
}

#[test]
fn null_and_foreign_keys_are_accepted() {
    let rest = json!({"runtimeConfig": null, "args": null, "prevResult": {"x": 1}});
    let config = parse_with(
        &json!({"subnet": "10.1.2.0/24", "ranges": null, "x": 1}),
        &rest,
        "",
    )
    .unwrap();
    assert_eq!(config.sets.len(), 1);
    let stray = json!({"rangeStart": "nonsense", "ranges": [[{"subnet": "10.1.2.0/24"}]]});
    assert_eq!(
        parse(&stray).unwrap().sets.len(),
        1,
        "old keys without a subnet are not looked at"
    );
}

#[test]
fn refusals_name_the_value_and_what_is_legal() {
    let ranges = |ranges: Value| parse(&json!({"ranges": ranges})).unwrap_err().to_string();
    assert_eq!(
        ranges(json!([])),
        "ipam.ranges is missing: give at least one range set, or ipam.subnet"
    );
    assert_eq!(
        ranges(json!([[{"subnet": "10.0.0.0/24"}], []])),
        "range set 1: the range set is empty; give at least one range with a subnet"
    );
    assert_eq!(
        ranges(json!([[{"gateway": "10.0.0.1"}]])),
        "range set 0: a range has no subnet; give one, such as 10.1.2.0/24"
    );
    for bad in [
        "10.0.0.0",
        "::ffff:10.0.0.0/120",
        "",
        "10.0.0/24",
        "x/24",
        "10.0.0.0/33",
    ] {
        assert_eq!(
            ranges(json!([[{"subnet": bad}]])),
            format!(
                "range set 0: subnet {bad:?} is not an address with a prefix length, such as 10.1.2.0/24"
            )
        );
    }
    assert_eq!(
        ranges(json!([[{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.300"}]])),
        "range set 0: rangeStart \"10.0.0.300\" is not an IP address"
    );
    assert_eq!(
        ranges(
            json!([[{"subnet": "10.1.0.0/16"}], [{"subnet": "fd00::/64"}], [{"subnet": "10.1.2.0/24"}]])
        ),
        "range sets 0 and 2: ranges 10.1.0.1-10.1.255.254 and 10.1.2.1-10.1.2.254 overlap"
    );
    let many: Vec<_> = (0..17)
        .map(|n| json!([{"subnet": format!("10.{n}.0.0/16")}]))
        .collect();
    assert_eq!(
        ranges(json!(many)),
        "ipam.ranges with 17 range sets: at most 16, one address of each is given to every pod"
    );
}

#[test]
fn refusals_of_arguments_name_their_source() {
    let refused = |rest: Value, args: &str| {
        parse_with(&json!({"subnet": "10.1.2.0/24"}), &rest, args)
            .unwrap_err()
            .to_string()
    };
    let legal = "an IP address, with or without a prefix length";
    assert_eq!(
        refused(json!({}), "IP=ten"),
        format!("CNI_ARGS IP \"ten\": {legal}")
    );
    assert_eq!(
        refused(json!({"args": {"cni": {"ips": ["10.0.0.1/99"]}}}), ""),
        format!("args.cni.ips \"10.0.0.1/99\": {legal}")
    );
    assert_eq!(
        refused(json!({"runtimeConfig": {"ips": [""]}}), ""),
        format!("runtimeConfig.ips \"\": {legal}")
    );
    assert_eq!(
        refused(json!({"name": "../x"}), ""),
        "name \"../x\": a letter or digit, then letters, digits, '_', '.', '-', at most 200 in all"
    );
}

#[test]
fn old_versions_take_one_set_of_a_family() {
    let two = json!({"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "11.1.2.0/24"}]]});
    assert_eq!(
        parse_with(&two, &json!({"cniVersion": "0.2.0"}), "")
            .unwrap_err()
            .to_string(),
        "cniVersion 0.2.0: more than one range set of a family needs 0.3.0 or newer"
    );
    let dual = json!({"ranges": [[{"subnet": "10.1.2.0/24"}], [{"subnet": "fd00::/48"}]]});
    assert_eq!(
        parse_with(&dual, &json!({"cniVersion": "0.2.0"}), "")
            .unwrap()
            .sets
            .len(),
        2
    );
}

#[test]
fn broken_json_and_a_missing_section_are_told_apart() {
    let decode = Config::parse(b"{", "").unwrap_err();
    assert_eq!(
        decode.to_string(),
        "cannot read the network configuration: EOF while parsing an object at line 1 column 1"
    );
    assert_eq!(decode.kind(), crate::ErrorKind::Decode);
    let section = Config::parse(br#"{"name":"a"}"#, "").unwrap_err();
    assert_eq!(
        section.to_string(),
        "ipam is missing: the section with this plugin's type is required"
    );
    assert_eq!(section.kind(), crate::ErrorKind::Config);
}

#[test]
fn pod_ranges_have_no_gateway_of_their_own() {
    let ranges: Vec<IpNetwork> = ["10.244.1.0/24", "fd00:1::/64"]
        .map(|r| r.parse().unwrap())
        .into();
    let config = Config::for_pod_ranges("fairlead", Path::new("/x"), &ranges).unwrap();
    assert_eq!(
        texts(&config),
        [
            "10.244.1.1-10.244.1.254",
            "fd00:1::1-fd00:1::ffff:ffff:ffff:ffff"
        ]
    );
    assert!(
        config
            .sets
            .iter()
            .all(|set| set.ranges()[0].gateway().is_none())
    );
    assert_eq!(
        Config::for_pod_ranges("n", Path::new("/x"), &["10.0.0.1/24".parse().unwrap()])
            .unwrap_err()
            .to_string(),
        "pod range 10.0.0.1/24: subnet 10.0.0.1/24 has host bits set; its network address is 10.0.0.0/24"
    );
}
