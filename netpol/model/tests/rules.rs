//! What the API says, case by case: the oracle and the compiled maps.

#![expect(clippy::unwrap_used, reason = "what is written here parses")]

use std::net::IpAddr;
use std::sync::Arc;

use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::cluster::{
    Cluster, IpBlock, Labels, Name, NamedPort, Namespace, Peer, Pod, Policy, Port, Ports, Protocol,
    Requirement, Rule, Selector, Sources, Uid,
};
use fairlead_netpol_model::oracle::{self, Packet, Side, Traffic};
use fairlead_netpol_model::tables::{Attachment, IfIndex, Link, Set, Tables};
use fairlead_netpol_model::testing::{Ends, judge};

use Protocol::{Sctp, Tcp, Udp};

/// A cluster of which all pods with an interface are attached.
#[derive(Default)]
struct Case {
    cluster: Cluster,
}

fn name(name: &str) -> Name {
    let (namespace, name) = name.split_once('/').unwrap();
    Name {
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn selector(pairs: &[(&str, &str)]) -> Selector {
    let one = |(key, value): &(&str, &str)| Requirement::In((*key).into(), vec![(*value).into()]);
    Selector {
        requirements: pairs.iter().map(one).collect(),
    }
}

fn port(protocol: Protocol, which: Ports) -> Port {
    Port { protocol, which }
}

fn block(cidr: &str, except: &[&str]) -> Peer {
    Peer::Block(IpBlock {
        cidr: cidr.parse().unwrap(),
        except: except.iter().map(|one| one.parse().unwrap()).collect(),
    })
}

fn pods(pairs: &[(&str, &str)]) -> Peer {
    Peer::Pods {
        namespaces: None,
        pods: selector(pairs),
    }
}

impl Case {
    /// Pods: their last octet is also their interface.
    fn new() -> Self {
        let mut case = Self::default();
        for namespace in ["shop", "tools"] {
            let labels = labels(&[("name", namespace)]);
            case.cluster.namespaces.insert(
                namespace.into(),
                Namespace {
                    name: namespace.into(),
                    labels,
                },
            );
        }
        case.pod(
            "shop/web",
            1,
            &[("app", "web")],
            &[("http", Tcp, 8080), ("dns", Udp, 53)],
        );
        case.pod("shop/cart", 2, &[("app", "cart")], &[("http", Tcp, 9090)]);
        case.pod(
            "tools/probe",
            3,
            &[("app", "probe")],
            &[("http", Udp, 7070)],
        );
        case
    }

    fn pod(&mut self, pod: &str, low: u8, pairs: &[(&str, &str)], ports: &[(&str, Protocol, u16)]) {
        let ports = ports.iter().map(|(name, protocol, port)| NamedPort {
            name: (*name).into(),
            protocol: *protocol,
            port: *port,
        });
        let pod = Pod {
            name: name(pod),
            uid: pod.into(),
            node: "here".into(),
            labels: labels(pairs),
            addresses: vec![IpAddr::from([10, 0, 0, low])],
            host_network: false,
            finished: false,
            named_ports: ports.collect(),
            sources: Sources::Own,
        };
        self.cluster.pods.insert(Arc::new(pod));
    }

    fn change(&mut self, pod: &str, change: impl FnOnce(&mut Pod)) {
        let mut pod = Arc::unwrap_or_clone(self.cluster.pods.remove(&name(pod)).unwrap());
        change(&mut pod);
        self.cluster.pods.insert(Arc::new(pod));
    }

    fn policy(&mut self, policy: &str, ingress: Option<Vec<Rule>>, egress: Option<Vec<Rule>>) {
        let policy = Policy {
            name: name(policy),
            pods: selector(&[("app", "web")]),
            ingress,
            egress,
        };
        self.cluster
            .policies
            .insert(policy.name.clone(), Arc::new(policy));
    }

    fn ingress(mut self, rules: &[(Vec<Peer>, Vec<Port>)]) -> Self {
        let rules = rules
            .iter()
            .cloned()
            .map(|(peers, ports)| Rule { peers, ports });
        self.policy("shop/ingress", Some(rules.collect()), None);
        self
    }

    fn egress(mut self, rules: &[(Vec<Peer>, Vec<Port>)]) -> Self {
        let rules = rules
            .iter()
            .cloned()
            .map(|(peers, ports)| Rule { peers, ports });
        self.policy("shop/egress", None, Some(rules.collect()));
        self
    }

    fn compiler(&self) -> Compiler {
        let mut compiler = Compiler::new();
        for namespace in self.cluster.namespaces.values() {
            compiler.set_namespace(namespace.clone());
        }
        for policy in self.cluster.policies.values() {
            compiler.set_policy(Policy::clone(policy));
        }
        for pod in self.cluster.pods.iter() {
            compiler.set_pod(Pod::clone(pod));
            if !pod.host_network {
                attach(
                    &mut compiler,
                    interface(pod),
                    &pod.name,
                    pod.uid.clone(),
                    pod.addresses[0],
                );
            }
        }
        compiler
    }

    /// A pod by its name, an address, or the node.
    fn side(&self, side: &str) -> Side {
        if side == "node" {
            return Side::Node(IpAddr::from([192, 0, 2, 1]));
        }
        if let Ok(address) = side.parse() {
            return Side::Address(address);
        }
        let pod = &self.cluster.pods[&name(side)];
        Side::Pod(pod.name.clone(), pod.addresses[0])
    }

    /// Whether a packet passes. Asks the oracle and the maps.
    fn passes(&self, from: &str, to: &str, traffic: Traffic) -> bool {
        let packet = Packet {
            from: self.side(from),
            to: self.side(to),
            traffic,
        };
        let interface = |side: &Side| match side {
            Side::Pod(name, _) => Some(interface(&self.cluster.pods[name])),
            _ => None,
        };
        let ends = Ends {
            from: interface(&packet.from),
            source: packet.from.address(),
            to: interface(&packet.to),
            destination: packet.to.address(),
            from_node: matches!(packet.from, Side::Node(_)),
            traffic,
        };
        let told = oracle::judge(&self.cluster, &packet).allowed();
        assert_eq!(judge(&self.compiler().tables(), &ends), told, "{packet:?}");
        told
    }

    fn tcp(&self, from: &str, to: &str, port: u16) -> bool {
        self.passes(from, to, Traffic::Port(Tcp, port))
    }
}

fn interface(pod: &Pod) -> IfIndex {
    match pod.addresses[0] {
        IpAddr::V4(address) => address.octets()[3].into(),
        IpAddr::V6(_) => 0,
    }
}

fn attach(
    compiler: &mut Compiler,
    index: IfIndex,
    pod: &Name,
    uid: impl Into<Uid>,
    address: IpAddr,
) {
    let link = Link::Routed {
        pod_mac: [2, 0, 0, 0, 0, 1],
        host_mac: [2, 0, 0, 0, 0, 2],
    };
    let addresses = vec![address];
    compiler.attach(index, pod.clone(), uid, Attachment { addresses, link });
}

const PING: Traffic = Traffic::Other(1);

#[test]
fn pods_without_policies_are_open_and_those_with_an_empty_one_closed() {
    let open = Case::new();
    assert!(open.tcp("shop/cart", "shop/web", 80) && open.passes("203.0.113.1", "shop/web", PING));
    let closed = Case::new().ingress(&[]);
    assert!(!closed.tcp("shop/cart", "shop/web", 80));
    assert!(!closed.passes("203.0.113.1", "shop/web", PING));
    assert!(closed.tcp("shop/web", "shop/cart", 80), "egress is open");
    let mute = Case::new().egress(&[]);
    assert!(!mute.tcp("shop/web", "shop/cart", 80) && mute.tcp("shop/cart", "shop/web", 80));
}

#[test]
fn a_rule_of_nothing_allows_everybody_everything() {
    let case = Case::new().ingress(&[(vec![], vec![])]);
    assert!(
        case.tcp("203.0.113.1", "shop/web", 80) && case.passes("tools/probe", "shop/web", PING)
    );
}

#[test]
fn rules_with_ports_allow_no_protocol_without() {
    let ports = vec![port(Tcp, Ports::All), port(Udp, Ports::Range(100, 300))];
    let case = Case::new().ingress(&[(vec![], ports)]);
    assert!(case.tcp("203.0.113.1", "shop/web", 0) && case.tcp("203.0.113.1", "shop/web", 65535));
    assert!(!case.passes("203.0.113.1", "shop/web", PING));
    for (port, passes) in [
        (99, false),
        (100, true),
        (256, true),
        (300, true),
        (301, false),
    ] {
        let traffic = Traffic::Port(Udp, port);
        assert_eq!(
            case.passes("203.0.113.1", "shop/web", traffic),
            passes,
            "{port}"
        );
    }
    assert!(!case.passes("203.0.113.1", "shop/web", Traffic::Port(Sctp, 200)));
}

#[test]
fn selectors_of_pods_and_namespaces() {
    let near = Case::new().ingress(&[(vec![pods(&[])], vec![])]);
    assert!(near.tcp("shop/cart", "shop/web", 1) && !near.tcp("tools/probe", "shop/web", 1));
    let both = |namespaces, pods| Peer::Pods {
        namespaces: Some(selector(namespaces)),
        pods: selector(pods),
    };
    let all = Case::new().ingress(&[(vec![both(&[], &[])], vec![])]);
    assert!(all.tcp("tools/probe", "shop/web", 1) && !all.tcp("203.0.113.1", "shop/web", 1));
    let tools = Case::new().ingress(&[(
        vec![both(&[("name", "tools")], &[("app", "probe")])],
        vec![],
    )]);
    assert!(tools.tcp("tools/probe", "shop/web", 1) && !tools.tcp("shop/cart", "shop/web", 1));
    let neither =
        Case::new().ingress(&[(vec![both(&[("name", "tools")], &[("app", "cart")])], vec![])]);
    assert!(!neither.tcp("tools/probe", "shop/web", 1) && !neither.tcp("shop/cart", "shop/web", 1));
}

#[test]
fn namespaces_that_are_not_known_are_matched_by_no_selector() {
    let not = Selector {
        requirements: vec![Requirement::DoesNotExist("secret".into())],
    };
    let peer = Peer::Pods {
        namespaces: Some(not),
        pods: Selector::default(),
    };
    let mut case = Case::new().ingress(&[(vec![peer], vec![])]);
    assert!(case.tcp("tools/probe", "shop/web", 1));
    case.cluster.namespaces.remove("tools");
    assert!(!case.tcp("tools/probe", "shop/web", 1));
}

#[test]
fn blocks_mean_pods_too_and_excepts_only_their_own_block() {
    let peers = vec![
        block("10.0.0.0/24", &["10.0.0.2/32", "10.0.0.128/25"]),
        block("10.0.0.192/26", &[]),
        block("2001:db8::/32", &["2001:db8:1::/48"]),
    ];
    let case = Case::new().ingress(&[(peers, vec![])]);
    assert!(case.tcp("tools/probe", "shop/web", 1) && !case.tcp("shop/cart", "shop/web", 1));
    for (from, passes) in [
        ("10.0.0.77", true),
        ("10.0.0.130", false),
        ("10.0.0.200", true),
        ("10.0.1.1", false),
        ("2001:db8::1", true),
        ("2001:db8:1::1", false),
    ] {
        assert_eq!(case.tcp(from, "shop/web", 1), passes, "{from}");
    }
}

#[test]
fn named_ports_are_the_receivers_and_of_their_protocol() {
    let http = vec![port(Tcp, Ports::Named("http".into()))];
    let to = Case::new().ingress(&[(vec![], http.clone())]);
    assert!(to.tcp("shop/cart", "shop/web", 8080) && !to.tcp("shop/cart", "shop/web", 9090));
    assert!(!to.passes("shop/cart", "shop/web", Traffic::Port(Udp, 8080)));
    let from = Case::new().egress(&[(vec![], http.clone())]);
    assert!(from.tcp("shop/web", "shop/cart", 9090) && !from.tcp("shop/web", "shop/cart", 8080));
    assert!(
        !from.passes("shop/web", "tools/probe", Traffic::Port(Udp, 7070)),
        "of UDP"
    );
    assert!(!from.tcp("shop/web", "203.0.113.1", 9090), "no pod");
    let block = Case::new().egress(&[(vec![block("10.0.0.0/30", &[])], http)]);
    assert!(block.tcp("shop/web", "shop/cart", 9090) && !block.tcp("shop/web", "10.0.0.0", 9090));
}

#[test]
fn policies_add_up() {
    let mut case = Case::new().ingress(&[(
        vec![pods(&[("app", "cart")])],
        vec![port(Tcp, Ports::Range(80, 80))],
    )]);
    case.policy("shop/more", Some(vec![Rule::default()]), None);
    assert!(case.tcp("203.0.113.1", "shop/web", 81));
    case.policy("shop/more", Some(vec![]), None);
    assert!(!case.tcp("203.0.113.1", "shop/web", 81) && case.tcp("shop/cart", "shop/web", 80));
}

#[test]
fn nodes_reach_their_pods_and_pods_themselves() {
    let mut case = Case::new().ingress(&[]);
    case.policy("shop/mute", None, Some(vec![]));
    assert!(case.tcp("node", "shop/web", 80) && case.tcp("shop/web", "shop/web", 80));
    assert!(
        !case.tcp("shop/web", "node", 80),
        "egress to the node is judged"
    );
    let mut case = Case::new().egress(&[(vec![block("192.0.2.0/24", &[])], vec![])]);
    assert!(case.tcp("shop/web", "node", 80) && !case.tcp("shop/web", "shop/cart", 80));
    case.policy(
        "shop/egress",
        None,
        Some(vec![Rule {
            peers: vec![pods(&[])],
            ports: vec![],
        }]),
    );
    assert!(!case.tcp("shop/web", "node", 80), "the node is no pod");
}

#[test]
fn pods_in_the_nodes_network_are_selected_by_nobody() {
    let mut case = Case::new().ingress(&[(vec![pods(&[]), block("192.0.2.7/32", &[])], vec![])]);
    case.pod("shop/agent", 9, &[("app", "web")], &[]);
    case.change("shop/agent", |pod| {
        pod.host_network = true;
        pod.addresses = vec![IpAddr::from([192, 0, 2, 8])];
    });
    assert!(
        case.passes("203.0.113.1", "192.0.2.8", PING),
        "not isolated"
    );
    assert!(!case.tcp("192.0.2.8", "shop/web", 1), "no peer");
    assert!(case.tcp("192.0.2.7", "shop/web", 1), "a block has it");
    assert!(
        !case
            .compiler()
            .tables()
            .addresses
            .contains_key(&IpAddr::from([192, 0, 2, 8]))
    );
}

#[test]
fn more_port_classes_than_a_set_has_go_to_further_sets() {
    let rule = |at: u16| {
        let peers = vec![
            pods(&[("app", "cart")]),
            block(&format!("203.0.113.{}/32", at % 200), &[]),
        ];
        (peers, vec![port(Tcp, Ports::Range(at * 10, at * 10 + 3))])
    };
    let rules: Vec<_> = (1..=300).map(rule).collect();
    let case = Case::new().ingress(&rules);
    let tables = case.compiler().tables();
    assert_eq!(tables.sets.len(), 4, "five sets in a row");
    for at in [1, 2, 62, 63, 64, 150, 299, 300] {
        assert!(case.tcp("shop/cart", "shop/web", at * 10 + 3), "{at}");
        assert!(!case.tcp("shop/cart", "shop/web", at * 10 + 4), "{at}");
        assert!(case.tcp(&format!("203.0.113.{}", at % 200), "shop/web", at * 10));
        assert!(!case.tcp(
            &format!("203.0.113.{}", (at + 1) % 200),
            "shop/web",
            at * 10
        ));
    }
    assert!(!case.passes("shop/cart", "shop/web", PING));
    let mut rules = rules;
    rules.push((
        vec![pods(&[("app", "probe")]), block("198.51.100.0/24", &[])],
        vec![],
    ));
    let case = Case::new().ingress(&rules);
    assert!(
        case.passes("198.51.100.1", "shop/web", PING) && case.tcp("198.51.100.1", "shop/web", 3000)
    );
    assert!(!case.passes("shop/cart", "shop/web", PING) && case.tcp("shop/cart", "shop/web", 3000));
}

#[test]
fn port_classes_for_which_there_is_no_room_are_denied_and_counted() {
    let rule = |at: u16| {
        (
            vec![block(&format!("203.0.{}.{}/32", at / 250, at % 250), &[])],
            vec![port(Tcp, Ports::Range(at, at))],
        )
    };
    let rules: Vec<_> = (1..=1000).map(rule).collect();
    let case = Case::new().ingress(&rules);
    let mut compiler = case.compiler();
    compiler.take_update();
    assert_eq!(compiler.counts().left_out, 1000 - 16 * 62);
    assert!(case.tcp("203.0.0.1", "shop/web", 1));
    let ends = Ends {
        from: None,
        source: "203.0.4.0".parse().unwrap(),
        to: Some(1),
        destination: IpAddr::from([10, 0, 0, 1]),
        from_node: false,
        traffic: Traffic::Port(Tcp, 1000),
    };
    assert!(!judge(&compiler.tables(), &ends));
}

#[test]
fn a_rule_for_all_ports_of_a_protocol_takes_no_pages() {
    let case = Case::new().ingress(&[(vec![pods(&[])], vec![port(Tcp, Ports::All)])]);
    assert!(case.compiler().tables().pages.is_empty());
    assert!(case.tcp("shop/cart", "shop/web", 80));
}

/// The tables after all updates, and what the maps hold.
fn settled(compiler: &mut Compiler) -> Tables {
    compiler.take_update();
    while !compiler.is_settled() {
        compiler.take_update();
    }
    compiler.tables()
}

#[test]
fn nothing_passes_before_a_pod_is_known_or_when_it_is_another() {
    let mut compiler = Compiler::new();
    compiler.take_update();
    attach(
        &mut compiler,
        1,
        &name("shop/web"),
        "second",
        IpAddr::from([10, 0, 0, 1]),
    );
    let endpoint = |compiler: &mut Compiler| settled(compiler).endpoints[&1].clone();
    assert_eq!(endpoint(&mut compiler).ingress, Some(Set::DENY));
    let case = Case::new();
    let mut pod = Pod::clone(&case.cluster.pods[&name("shop/web")]);
    pod.uid = "first".into();
    compiler.set_pod(pod.clone());
    assert_eq!(
        endpoint(&mut compiler).egress,
        Some(Set::DENY),
        "the pod before it"
    );
    compiler.remove_pod(&pod.name, "first");
    pod.uid = "second".into();
    compiler.set_pod(pod.clone());
    assert_eq!(endpoint(&mut compiler).egress, None);
    compiler.remove_pod(&pod.name, "first");
    assert_eq!(
        endpoint(&mut compiler).egress,
        None,
        "a late delete is of another"
    );
    assert!(compiler.pod(&pod.name).is_some());
}

#[test]
fn of_two_pods_with_one_address_the_attached_one_has_it_or_else_the_later() {
    let mut case = Case::new().ingress(&[(vec![pods(&[("app", "cart")])], vec![])]);
    case.pod("shop/new", 2, &[("app", "new")], &[]);
    let mut compiler = Compiler::new();
    let shared = IpAddr::from([10, 0, 0, 2]);
    let pod = |pod: &str| Pod::clone(&case.cluster.pods[&name(pod)]);
    let owner = |compiler: &Compiler| compiler.owner(shared).map(|pod| pod.name.to_string());
    compiler.set_pod(pod("shop/new"));
    compiler.set_pod(pod("shop/cart"));
    compiler.set_pod(pod("shop/new"));
    assert_eq!(
        owner(&compiler).as_deref(),
        Some("shop/cart"),
        "the later claim"
    );
    compiler.remove_pod(&name("shop/cart"), "shop/cart");
    assert_eq!(owner(&compiler).as_deref(), Some("shop/new"));
    attach(&mut compiler, 7, &name("shop/new"), "shop/new", shared);
    compiler.set_pod(pod("shop/cart"));
    assert_eq!(owner(&compiler).as_deref(), Some("shop/new"), "attached");
    let mut finished = pod("shop/new");
    finished.finished = true;
    compiler.set_pod(finished);
    assert_eq!(owner(&compiler).as_deref(), Some("shop/cart"), "finished");
    compiler.remove_pod(&name("shop/cart"), "shop/cart");
    assert_eq!(owner(&compiler), None);
}

#[test]
fn what_has_a_set_and_a_class_is_told() {
    let case = Case::new().ingress(&[(vec![pods(&[("app", "cart")])], vec![])]);
    let mut compiler = case.compiler();
    let tables = settled(&mut compiler);
    let set = tables.endpoints[&1].ingress.unwrap();
    let direction = fairlead_netpol_model::oracle::Direction::Ingress;
    assert_eq!(compiler.holders(set.id), [(1, direction)]);
    let policies = compiler.isolating(&name("shop/web"), direction);
    assert_eq!(policies[0].name, name("shop/ingress"));
    let cart = IpAddr::from([10, 0, 0, 2]);
    let class = tables.addresses[&cart].class;
    assert_eq!(compiler.addresses(class).collect::<Vec<_>>(), [cart]);
}
