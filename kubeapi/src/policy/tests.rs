//! What is written and what it means.

use fairlead_netpol_model::cluster::Protocol;
use serde_json::{Value, json};

use super::*;

fn read(spec: &Value) -> (Policy, Vec<String>) {
    let object = json!({"metadata": {"name": "p", "namespace": "ns"}, "spec": spec});
    let object: NetworkPolicyObject = serde_json::from_value(object).unwrap();
    let (policy, faults) = object.to_policy(&mut Shared::default());
    (policy, faults.iter().map(ToString::to_string).collect())
}

fn good(spec: &Value) -> Policy {
    let (policy, faults) = read(spec);
    assert_eq!(faults, Vec::<String>::new());
    policy
}

fn peers(from: &Value) -> (Option<Vec<Rule>>, Vec<String>) {
    let (policy, faults) = read(&json!({"ingress": [{"from": from}]}));
    (policy.ingress, faults)
}

fn ports(ports: &Value) -> (Option<Vec<Rule>>, Vec<String>) {
    let (policy, faults) = read(&json!({"ingress": [{"ports": ports}]}));
    (policy.ingress, faults)
}

#[test]
fn types_have_the_defaults_of_the_api() {
    let types = |spec: &Value| {
        let policy = good(spec);
        (policy.ingress.is_some(), policy.egress.is_some())
    };
    assert_eq!(types(&json!({})), (true, false));
    assert_eq!(
        types(&json!({"policyTypes": null, "egress": []})),
        (true, false)
    );
    assert_eq!(types(&json!({"egress": [{}]})), (true, true));
    assert_eq!(
        types(&json!({"policyTypes": ["Egress"], "ingress": [{}]})),
        (false, true)
    );
    assert_eq!(
        types(&json!({"policyTypes": ["Ingress"], "egress": [{}]})),
        (true, false)
    );
    assert_eq!(
        types(&json!({"policyTypes": ["Egress", "Ingress"]})),
        (true, true)
    );
}

#[test]
fn empty_and_missing_lists_differ_as_the_api_says() {
    assert_eq!(good(&json!({})).ingress, Some(vec![]));
    for rule in [
        json!({}),
        json!({"from": null, "ports": null}),
        json!({"from": [], "ports": []}),
    ] {
        assert_eq!(
            good(&json!({"ingress": [rule]})).ingress,
            Some(vec![Rule::default()])
        );
    }
}

#[test]
fn selectors_of_peers_combine() {
    let (rules, faults) = peers(&json!([
        {"podSelector": {}},
        {"namespaceSelector": {"matchLabels": {"team": "red"}}},
        {"namespaceSelector": {}, "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x", "y"]}]}},
    ]));
    assert!(faults.is_empty());
    let any = Selector::default();
    let of = |requirement| Selector {
        requirements: vec![requirement],
    };
    let (team, red, app) = ("team".into(), "red".into(), "app".into());
    let values = ["x".into(), "y".into()].into();
    let expected = [
        (None, any.clone()),
        (Some(of(Requirement::In(team, vec![red]))), any.clone()),
        (Some(any), of(Requirement::NotIn(app, values))),
    ];
    let expected = expected.map(|(namespaces, pods)| Peer::Pods { namespaces, pods });
    assert_eq!(rules.unwrap()[0].peers, expected);
}

#[test]
fn ports_have_numbers_ranges_and_names() {
    let (rules, faults) = ports(&json!([
        {}, {"protocol": "UDP"}, {"port": 80}, {"port": 80, "endPort": 90, "protocol": "SCTP"},
        {"port": "http"}, {"port": null},
    ]));
    assert!(faults.is_empty());
    let port = |protocol, which| Port { protocol, which };
    assert_eq!(
        rules.unwrap()[0].ports,
        [
            port(Protocol::Tcp, Ports::All),
            port(Protocol::Udp, Ports::All),
            port(Protocol::Tcp, Ports::Range(80, 80)),
            port(Protocol::Sctp, Ports::Range(80, 90)),
            port(Protocol::Tcp, Ports::Named("http".into())),
            port(Protocol::Tcp, Ports::All),
        ]
    );
}

#[test]
fn host_bits_of_blocks_are_cut_off() {
    let (rules, faults) = peers(
        &json!([{"ipBlock": {"cidr": "10.1.2.3/8", "except": ["10.1.2.3/16", "10.9.0.0/16"]}}]),
    );
    assert!(faults.is_empty());
    let [cidr, first, second] =
        ["10.0.0.0/8", "10.1.0.0/16", "10.9.0.0/16"].map(|range| range.parse().unwrap());
    let block = IpBlock {
        cidr,
        except: vec![first, second],
    };
    assert_eq!(rules.unwrap()[0].peers, [Peer::Block(block)]);
}

#[test]
fn an_exception_beside_its_block_is_left_out_and_one_around_it_leaves_nothing() {
    let (rules, faults) = peers(
        &json!([{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["192.0.2.0/24", "fd00::/8"]}}]),
    );
    let expected = Peer::Block(IpBlock {
        cidr: "10.0.0.0/8".parse().unwrap(),
        except: vec![],
    });
    assert_eq!(rules.unwrap()[0].peers, [expected]);
    assert_eq!(
        faults[0],
        "network policy ns/p: spec.ingress[0].from[0].ipBlock.except[0] is \"192.0.2.0/24\" outside of 10.0.0.0/8, \
         expected a range inside of the block's cidr; it takes nothing away"
    );
    assert_eq!(faults.len(), 2);

    for except in ["10.0.0.0/8", "0.0.0.0/0"] {
        let (rules, faults) =
            peers(&json!([{"ipBlock": {"cidr": "10.0.0.0/8", "except": [except]}}]));
        assert_eq!(rules, Some(vec![]));
        assert_eq!(
            faults,
            [format!(
                "network policy ns/p: spec.ingress[0].from[0].ipBlock.except[0] is \"{except}\" around 10.0.0.0/8, \
                 expected a range inside of the block's cidr; nothing is left of the block"
            )]
        );
    }
}

#[test]
fn peers_that_mean_nothing_match_nothing() {
    let wrong = [
        (
            json!({}),
            "from[0] is empty, expected podSelector, namespaceSelector or ipBlock; it matches nothing",
        ),
        (
            json!({"nodeSelector": {}}),
            "from[0] is \"nodeSelector\", expected podSelector, namespaceSelector or ipBlock; it matches nothing",
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}),
            "from[0] is ipBlock with a selector, expected either of the two; it matches nothing",
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.1"}}),
            "from[0].ipBlock.cidr is \"10.0.0.1\", expected an address range such as 10.0.0.0/8; it matches nothing",
        ),
        (
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["x"]}}),
            "from[0].ipBlock.except[0] is \"x\", expected an address range such as 10.0.0.0/8; \
             the whole block matches nothing",
        ),
        (
            json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Like", "values": ["b"]}]}}),
            "from[0].podSelector.matchExpressions[0] is \"Like\" with 1 values, expected In or NotIn with values, or \
             Exists or DoesNotExist without; it matches nothing",
        ),
    ];
    for (peer, text) in wrong {
        let (rules, faults) = peers(&json!([peer]));
        assert_eq!(rules, Some(vec![]), "{peer}");
        assert_eq!(
            faults,
            [format!("network policy ns/p: spec.ingress[0].{text}")]
        );
        let (rules, _) = peers(&json!([peer, {"podSelector": {}}]));
        assert_eq!(rules.unwrap()[0].peers.len(), 1);
    }
}

#[test]
fn ports_that_mean_nothing_match_no_packet() {
    let expected =
        "1 to 65535 with an endPort not below it, or a name without endPort; it matches no packet";
    let wrong = [
        (
            json!({"protocol": "ICMP"}),
            "protocol is \"ICMP\", expected TCP, UDP or SCTP; it matches no packet".to_owned(),
        ),
        (
            json!({"port": 0}),
            format!("port is 0, expected {expected}"),
        ),
        (
            json!({"port": 65536}),
            format!("port is 65536, expected {expected}"),
        ),
        (
            json!({"port": 90, "endPort": 80}),
            format!("port is 90 with endPort 80, expected {expected}"),
        ),
        (
            json!({"endPort": 80}),
            format!("port is missing with endPort 80, expected {expected}"),
        ),
        (
            json!({"port": "http", "endPort": 80}),
            format!("port is \"http\" with endPort 80, expected {expected}"),
        ),
        (
            json!({"port": true}),
            format!("port is true, expected {expected}"),
        ),
    ];
    for (port, text) in wrong {
        let (rules, faults) = ports(&json!([port]));
        assert_eq!(rules, Some(vec![]), "{port}");
        assert_eq!(
            faults,
            [format!(
                "network policy ns/p: spec.ingress[0].ports[0].{text}"
            )]
        );
    }
}

#[test]
fn a_selector_that_is_not_understood_isolates_and_allows_nothing() {
    let (policy, faults) = read(&json!({
        "podSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "In"}]},
        "ingress": [{}], "egress": [{}],
    }));
    assert_eq!(
        (policy.ingress, policy.egress),
        (Some(vec![]), Some(vec![]))
    );
    assert_eq!(policy.pods.requirements.len(), 1);
    assert_eq!(
        faults,
        [
            "network policy ns/p: spec.podSelector.matchExpressions[0] is \"In\" with 0 values, expected In or NotIn \
          with values, or Exists or DoesNotExist without; the policy isolates every pod that the rest of the \
          selector matches and allows nothing"
        ]
    );
}

#[test]
fn a_type_that_is_not_understood_isolates_in_both_directions() {
    let (policy, faults) = read(&json!({"policyTypes": ["Both"]}));
    assert!(policy.ingress.is_some() && policy.egress.is_some());
    assert_eq!(
        faults,
        [
            "network policy ns/p: spec.policyTypes is \"Both\", expected Ingress or Egress; \
          the policy isolates pods in both directions"
        ]
    );
}
