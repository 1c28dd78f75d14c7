use std::sync::Arc;

use super::*;
use crate::cluster::{
    Labels, Name, Peer, Pod, Port, Ports, Protocol, Requirement, Selector, Sources,
};
use crate::oracle::{Side, Traffic};

fn name(name: &str) -> Name {
    Name {
        namespace: "shop".into(),
        name: name.into(),
    }
}

fn pod(cluster: &mut Cluster, pod: &str, app: &str, address: &str) -> Side {
    let pod = Pod {
        name: name(pod),
        uid: pod.into(),
        node: "n1".into(),
        labels: Labels::from_iter([("app", app)]),
        addresses: vec![address.parse().unwrap()],
        host_network: false,
        finished: false,
        named_ports: [].into(),
        sources: Sources::Own,
    };
    let side = Side::Pod(pod.name.clone(), pod.addresses[0]);
    cluster.pods.insert(Arc::new(pod));
    side
}

fn app(app: &str) -> Selector {
    Selector {
        requirements: vec![Requirement::In("app".into(), vec![app.into()])],
    }
}

fn policy(cluster: &mut Cluster, policy: &str, ingress: Vec<Rule>) {
    let policy = Policy {
        name: name(policy),
        pods: app("web"),
        ingress: Some(ingress),
        egress: None,
    };
    cluster
        .policies
        .insert(policy.name.clone(), Arc::new(policy));
}

fn rule(from: &str, port: u16) -> Rule {
    Rule {
        peers: vec![Peer::Pods {
            namespaces: None,
            pods: app(from),
        }],
        ports: vec![Port {
            protocol: Protocol::Tcp,
            which: Ports::Range(port, port),
        }],
    }
}

fn shop() -> (Cluster, Side, Side) {
    let mut cluster = Cluster::default();
    let cart = pod(&mut cluster, "cart-1", "cart", "10.0.0.5");
    let web = pod(&mut cluster, "web-0", "web", "10.0.0.7");
    policy(&mut cluster, "default-deny", Vec::new());
    policy(
        &mut cluster,
        "web",
        vec![rule("cart", 80), rule("till", 81), rule("till", 82)],
    );
    (cluster, cart, web)
}

fn told(cluster: &Cluster, from: Side, to: Side, port: u16) -> String {
    let traffic = Traffic::Port(Protocol::Tcp, port);
    explain(cluster, &Packet { from, to, traffic }).to_string()
}

#[test]
fn a_rule_that_allows_is_named() {
    let (cluster, cart, web) = shop();
    assert_eq!(
        told(&cluster, cart, web, 80),
        "pod shop/cart-1 (10.0.0.5) to pod shop/web-0 (10.0.0.7), TCP port 80: allowed
egress: allowed, no policy isolates shop/cart-1
ingress: allowed
  shop/web: rule 0 allows it
"
    );
}

#[test]
fn what_a_denied_packet_lacks_is_told_of_each_rule() {
    let (cluster, cart, web) = shop();
    assert_eq!(
        told(&cluster, cart, web, 81),
        "pod shop/cart-1 (10.0.0.5) to pod shop/web-0 (10.0.0.7), TCP port 81: denied
egress: allowed, no policy isolates shop/cart-1
ingress: denied, shop/web-0 is isolated and no rule allows it
  shop/default-deny: has no rule
  shop/web: rule 0 has this peer, not this port
  shop/web: rule 1 has this port, not this peer
  shop/web: rule 2 has neither this peer nor this port
"
    );
}

#[test]
fn nodes_and_pods_themselves_are_not_asked() {
    let (cluster, _, web) = shop();
    let node = Side::Node("192.0.2.1".parse().unwrap());
    assert_eq!(
        told(&cluster, node, web.clone(), 80),
        "the node (192.0.2.1) to pod shop/web-0 (10.0.0.7), TCP port 80: allowed
egress: no policy is asked, this end is no pod
ingress: allowed, a node always reaches its own pods
"
    );
    assert!(told(&cluster, web.clone(), web, 80).ends_with(
        "egress: allowed, a pod always reaches itself
ingress: allowed, a pod always reaches itself
"
    ));
}

#[test]
fn data_has_the_same() {
    let (cluster, from, to) = shop();
    let traffic = Traffic::Other(1);
    let explanation = explain(&cluster, &Packet { from, to, traffic });
    assert!(!explanation.allowed);
    assert_eq!(explanation.traffic, "ICMP");
    assert_eq!(explanation.ingress.outcome, Outcome::Denied);
    assert_eq!(explanation.ingress.policies[1].policy, "shop/web");
    let rule = Judged {
        peer: true,
        port: false,
    };
    assert_eq!(explanation.ingress.policies[1].rules[0], rule);
}
