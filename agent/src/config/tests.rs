use fairlead_cni_node::policy::OnAgentAway;
use fairlead_cni_overlay::Vni;

use super::*;

fn error(text: &str) -> String {
    Config::parse(text).unwrap_err().to_string()
}

#[test]
fn an_empty_file_is_the_documented_default() {
    let config = Config::parse("").unwrap();
    assert_eq!(config.network.name, "fairlead");
    assert_eq!(config.network.mtu, None);
    assert_eq!(config.address, AddressSource::InternalIp);
    assert_eq!(config.cluster_state, StateSource::Kubernetes);
    assert_eq!(
        config.api,
        Api {
            watch_timeout: Duration::from_secs(290),
            retry_max: Duration::from_secs(30),
        }
    );
    assert_eq!(
        config.masquerade,
        Some(Masquerade {
            random_fully: true,
            cluster_cidrs: vec![],
            non_masquerade_cidrs: vec![]
        })
    );
    assert!(!config.forward_accept);
    assert!(config.set_network_unavailable);
    assert_eq!(config.cni.conf_name, "05-fairlead.conflist");
    assert_eq!(config.cni.data_dir, Path::new("/var/lib/cni/networks"));
    assert_eq!(
        config.gc,
        Some(Gc {
            runtime_endpoint: "/run/containerd/containerd.sock".into(),
            period: Duration::from_hours(1),
            min_age: Duration::from_mins(5),
        })
    );
    assert_eq!(config.resync_period, Duration::from_mins(1));
    assert_eq!(config.health.to_string(), "127.0.0.1:9475");
    assert_eq!(config.metrics.unwrap().to_string(), "0.0.0.0:9476");
}

#[test]
fn the_documented_file_is_read() {
    let config = Config::parse(
        "
network: {name: blue, mode: direct, mtu: 1400}
node: {name: n1, address: {from: cidr, cidrs: [192.0.2.0/24, '2001:db8::/64']}}
clusterState: {from: directory, directory: /etc/fairlead/nodes}
masquerade: {enabled: true, randomFully: false, clusterCIDRs: [10.0.0.0/8], nonMasqueradeCIDRs: []}
forwardAccept: true
setNetworkUnavailable: false
cni: {install: false, confName: 10-blue.conflist, extraPlugins: [{type: portmap, capabilities: {portMappings: true}}]}
gc: {enabled: false}
resyncPeriod: 5m
health: {listen: '[::1]:1'}
metrics: {enabled: false}
log: {format: json, level: debug}
",
    )
    .unwrap();
    assert_eq!(config.network.mtu, Some(1400));
    assert_eq!(config.node_name.as_deref(), Some("n1"));
    assert!(matches!(&config.address, AddressSource::Cidrs(cidrs) if cidrs.len() == 2));
    assert_eq!(
        config.cluster_state,
        StateSource::Directory("/etc/fairlead/nodes".into())
    );
    assert!(!config.masquerade.unwrap().random_fully);
    assert!(config.forward_accept && !config.set_network_unavailable && !config.cni.install);
    assert_eq!(config.cni.extra_plugins[0]["type"], "portmap");
    assert_eq!((config.gc, config.metrics), (None, None));
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn unknown_keys_are_refused_with_the_known_ones() {
    assert_eq!(
        error("resyncPeriods: 60s\n"),
        "configuration: unknown field `resyncPeriods`, expected one of network, node, clusterState, \
         masquerade, policy, forwardAccept, setNetworkUnavailable, cni, gc, resyncPeriod, runDir, health, \
         metrics, log at line 1, column 1"
    );
    assert_eq!(
        error("network:\n  mtus: 1500\n"),
        "configuration: unknown field `mtus`, expected one of name, mode, mtu, vxlan \
         at line 2, column 3"
    );
    assert_eq!(
        error("network:\n  vxlan: {id: 7}\n"),
        "configuration: unknown field `id`, expected one of tunnel, underlay, vni, port, \
         sourcePorts, ttl, dscp, udpChecksum, checksumOffload, device at line 2, column 11"
    );
    assert_eq!(
        error("network: {vxlan: {sourcePorts: {first: 7}}}"),
        "configuration: unknown field `first`, expected one of from, to at line 1, column 33"
    );
}

/// A configuration, and the error that it gives.
const WRONG: &[(&str, &str)] = &[
    (
        "network: {mtu: 1279}",
        "network.mtu is 1279, expected 0 (that of the uplink) or 1280 to 65535",
    ),
    (
        "network: {mtu: 65536}",
        "network.mtu is 65536, expected 0 (that of the uplink) or 1280 to 65535",
    ),
    (
        "network: {name: a/b}",
        "network.name is \"a/b\", expected a name of letters, digits, '_', '.' and '-' \
             that starts with a letter or digit",
    ),
    (
        "node: {address: {from: interface}}",
        "node.address.interface is \"\", expected the name of an interface, 1 to 15 bytes",
    ),
    (
        "node: {address: {interface: eth0}}",
        "node.address.interface is set, expected unset, as node.address.from asks for something else",
    ),
    (
        "node: {address: {from: cidr}}",
        "node.address.cidrs is empty, expected at least one address range",
    ),
    (
        "node: {address: {from: annotation}}",
        "node.address.annotation is empty, expected the key of an annotation",
    ),
    (
        "clusterState: {from: directory}",
        "clusterState.directory is \"\", expected an absolute path",
    ),
    (
        "clusterState: {directory: /x}",
        "clusterState.directory is /x, expected unset, as clusterState.from is kubernetes",
    ),
    (
        "clusterState: {watchTimeout: 500ms}",
        "clusterState.watchTimeout is 500ms, expected a period of whole seconds from 1s to 290s",
    ),
    (
        "clusterState: {watchTimeout: 5m}",
        "clusterState.watchTimeout is 5m, expected a period of whole seconds from 1s to 290s",
    ),
    (
        "clusterState: {retryMax: 0s}",
        "clusterState.retryMax is 0s, expected a period from 100ms to 10m",
    ),
    (
        "masquerade: {clusterCIDRs: [10.0.0.1/8]}",
        "masquerade.clusterCIDRs is 10.0.0.1/8, expected address ranges without host bits",
    ),
    (
        "policy: {sampleFlows: -1}",
        "policy.sampleFlows is -1, expected 0 (none) to 4294967295",
    ),
    (
        "policy: {startTimeout: 2m}",
        "policy.startTimeout is 2m, expected a period up to 1m",
    ),
    (
        "policy: {bpfDir: bpf}",
        "policy.bpfDir is \"bpf\", expected an absolute path",
    ),
    (
        "policy: {maps: {cells: 0}}",
        "policy.maps.cells is 0, expected 1 to 67108864",
    ),
    (
        "policy: {maps: {events: 5000}}",
        "policy.maps.events is 5000, expected a power of two from 4096 to 1073741824",
    ),
    (
        "cni: {confName: x.conf}",
        "cni.confName is \"x.conf\", expected a file name that ends with .conflist",
    ),
    (
        "cni: {extraPlugins: [{name: x}]}",
        "cni.extraPlugins is {\"name\":\"x\"}, expected objects, each with a type",
    ),
    (
        "cni: {binDir: bin}",
        "cni.binDir is \"bin\", expected an absolute path",
    ),
    (
        "gc: {period: 5}",
        "gc.period is \"5\", expected a period such as 90s, 5m or 1h30m",
    ),
    (
        "resyncPeriod: 0s",
        "resyncPeriod is 0s, expected a period above zero",
    ),
    (
        "health: {listen: localhost}",
        "health.listen is \"localhost\", expected address:port or [address]:port",
    ),
    (
        "log: {level: loud}",
        "log.level is \"loud\", expected error, warn, info, debug or trace",
    ),
];

#[test]
fn errors_name_key_value_and_legal_range() {
    for (text, expected) in WRONG {
        assert_eq!(error(text), *expected, "{text}");
    }
}

#[test]
fn unknown_words_are_refused_with_the_known_ones() {
    assert_eq!(
        error("network: {mode: magic}"),
        "configuration: unknown variant `magic`, expected one of direct, vxlan at line 1, column 17"
    );
    assert_eq!(
        error("network: {vxlan: {tunnel: never}}"),
        "configuration: unknown variant `never`, expected one of crossSubnet, always \
         at line 1, column 27"
    );
    assert_eq!(
        error("network: {vxlan: {underlay: ipx}}"),
        "configuration: unknown variant `ipx`, expected one of auto, ipv4, ipv6 \
         at line 1, column 29"
    );
}

#[test]
fn the_tunnel_has_its_documented_defaults() {
    let vxlan = Config::parse("network: {mode: vxlan}")
        .unwrap()
        .network
        .vxlan;
    assert_eq!(
        vxlan,
        Vxlan {
            tunnel: Tunnel::CrossSubnet,
            underlay: Underlay::Auto,
            vni: Vni::new(76).unwrap(),
            port: 4789,
            source_ports: None,
            ttl: 0,
            dscp: Dscp::Value(0),
            udp_checksum: false,
            checksum_offload: true,
            device: "fl-vxlan".parse().unwrap(),
        }
    );
}

#[test]
fn every_option_of_the_tunnel_is_read() {
    let config = Config::parse(
        "
network:
  mode: vxlan
  vxlan:
    tunnel: always
    underlay: ipv6
    vni: 16777215
    port: 8472
    sourcePorts: {from: 49152, to: 65535}
    ttl: 255
    dscp: inherit
    udpChecksum: true
    checksumOffload: false
    device: flannel.1
",
    )
    .unwrap();
    assert_eq!(config.network.mode, Mode::Vxlan);
    assert_eq!(
        config.network.vxlan,
        Vxlan {
            tunnel: Tunnel::Always,
            underlay: Underlay::Ipv6,
            vni: Vni::new(16_777_215).unwrap(),
            port: 8472,
            source_ports: Some(49_152..=65_535),
            ttl: 255,
            dscp: Dscp::Inherit,
            udp_checksum: true,
            checksum_offload: false,
            device: "flannel.1".parse().unwrap(),
        }
    );
    let dscp = Config::parse("network: {vxlan: {dscp: 46}}").unwrap();
    assert_eq!(dscp.network.vxlan.dscp, Dscp::Value(46));
}

/// A value below `network.vxlan`, and the error that it gives in any mode.
const WRONG_TUNNEL: &[(&str, &str)] = &[
    ("vni: 0", "vni is 0, expected 1 to 16777215"),
    ("vni: 16777216", "vni is 16777216, expected 1 to 16777215"),
    ("vni: -1", "vni is -1, expected 1 to 16777215"),
    ("port: 0", "port is 0, expected 1 to 65535"),
    ("port: 65536", "port is 65536, expected 1 to 65535"),
    (
        "sourcePorts: {from: 1000}",
        "sourcePorts is from 1000 to 0, \
         expected from 0 to 0 (the kernel's), or 1 to 65535 with from not above to",
    ),
    (
        "sourcePorts: {from: 2000, to: 1000}",
        "sourcePorts is from 2000 to 1000, \
         expected from 0 to 0 (the kernel's), or 1 to 65535 with from not above to",
    ),
    (
        "sourcePorts: {from: 1, to: 65536}",
        "sourcePorts is from 1 to 65536, \
         expected from 0 to 0 (the kernel's), or 1 to 65535 with from not above to",
    ),
    (
        "ttl: 256",
        "ttl is 256, expected 0 (the system's) or 1 to 255",
    ),
    (
        "ttl: -1",
        "ttl is -1, expected 0 (the system's) or 1 to 255",
    ),
    ("dscp: 64", "dscp is 64, expected 0 to 63 or inherit"),
    ("dscp: -1", "dscp is -1, expected 0 to 63 or inherit"),
    (
        "dscp: high",
        "dscp is \"high\", expected 0 to 63 or inherit",
    ),
    (
        "device: fl-vxlan-device0",
        "device is \"fl-vxlan-device0\", expected the name of an interface, 1 to 15 bytes, \
         unlike those of pods' host ends (fl and 12 hexadecimal digits)",
    ),
    (
        "device: ''",
        "device is \"\", expected the name of an interface, 1 to 15 bytes, \
         unlike those of pods' host ends (fl and 12 hexadecimal digits)",
    ),
    (
        "device: fl0123456789ab",
        "device is \"fl0123456789ab\", expected the name of an interface, 1 to 15 bytes, \
         unlike those of pods' host ends (fl and 12 hexadecimal digits)",
    ),
];

#[test]
fn a_wrong_option_of_the_tunnel_is_refused_in_every_mode() {
    for mode in ["direct", "vxlan"] {
        for (text, expected) in WRONG_TUNNEL {
            assert_eq!(
                error(&format!("network: {{mode: {mode}, vxlan: {{{text}}}}}")),
                format!("network.vxlan.{expected}"),
            );
        }
    }
}

#[test]
fn policy_has_its_documented_defaults() {
    let policy = Config::parse("").unwrap().policy.unwrap();
    assert_eq!(
        policy,
        Policy {
            on_agent_away: OnAgentAway::Fail,
            check_sources: true,
            shortcut: true,
            sample_flows: 0,
            start_timeout: Duration::from_secs(2),
            datapath: fairlead_netpol_datapath::Config::default(),
        }
    );
    assert_eq!(policy.datapath.dir, Path::new("/sys/fs/bpf/fairlead"));
    assert_eq!(
        Config::parse("policy: {enabled: false}").unwrap().policy,
        None
    );
}

#[test]
fn every_option_of_policy_is_read() {
    let config = Config::parse(
        "
policy:
  onAgentAway: deny
  checkSources: false
  shortcut: false
  sampleFlows: 10
  startTimeout: 500ms
  bpfDir: /sys/fs/bpf/blue
  maps: {flows: 1, newFlows: 2, addresses: 3, cells: 4, prefixes: 5, ports: 6, sets: 7, endpoints: 8,
    fragments: 9, events: 4096}
",
    );
    let policy = config.unwrap().policy.unwrap();
    assert_eq!(policy.on_agent_away, OnAgentAway::Deny);
    assert!(!policy.check_sources && !policy.shortcut);
    assert_eq!(
        (policy.sample_flows, policy.start_timeout.as_millis()),
        (10, 500)
    );
    let sizes = policy.datapath.sizes;
    let read = [
        sizes.flows,
        sizes.new_flows,
        sizes.addresses,
        sizes.cells,
        sizes.prefixes,
        sizes.ports,
        sizes.sets,
        sizes.endpoints,
        sizes.fragments,
        sizes.events,
    ];
    assert_eq!(read, [1, 2, 3, 4, 5, 6, 7, 8, 9, 4096]);
}
