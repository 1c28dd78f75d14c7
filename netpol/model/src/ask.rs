//! From what people name to a packet: a pod stands for one of its addresses, an address for the pod that has it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::cluster::{Cluster, Name, Pod};
use crate::oracle::{Packet, Side, Traffic};

/// One end, as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A pod.
    Pod(Name),
    /// An address, whoever has it.
    Address(IpAddr),
    /// The node of the pod at the other end.
    Node,
}

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AskError {
    /// It is not known.
    #[error("no pod {name} is known, of {pods} in all")]
    NoPod {
        /// Its name.
        name: Name,
        /// How many are known.
        pods: usize,
    },
    /// It has ended.
    #[error("pod {0} has finished: it sends nothing, and its address may be another pod's")]
    Finished(Name),
    /// The ends have no address family in common.
    #[error("{from} and {to} have no address of one family")]
    Families {
        /// One end.
        from: String,
        /// The other end.
        to: String,
    },
}

/// The packet between two ends. A pod that has no address yet gets the unspecified one.
///
/// # Errors
///
/// [`AskError`] for a pod that is not known or has finished, and for ends that cannot talk.
pub fn packet(
    cluster: &Cluster,
    from: &Asked,
    to: &Asked,
    traffic: Traffic,
) -> Result<Packet, AskError> {
    let (source, destination) = (End::of(cluster, from)?, End::of(cluster, to)?);
    let both = |ip4: &bool| source.has(*ip4) && destination.has(*ip4);
    let Some(ip4) = [true, false].into_iter().find(both) else {
        return Err(AskError::Families {
            from: source.to_string(),
            to: destination.to_string(),
        });
    };
    Ok(Packet {
        from: source.side(cluster, &destination, ip4),
        to: destination.side(cluster, &source, ip4),
        traffic,
    })
}

/// Who an end is.
enum End<'a> {
    Pod(&'a Pod),
    /// A pod in its node's network.
    Host(&'a Pod),
    Address(IpAddr),
    Node,
}

impl<'a> End<'a> {
    fn of(cluster: &'a Cluster, asked: &Asked) -> Result<Self, AskError> {
        match asked {
            Asked::Node => Ok(Self::Node),
            Asked::Address(address) => Ok(at(cluster, *address)),
            Asked::Pod(name) => match cluster.pods.get(name) {
                None => Err(AskError::NoPod {
                    name: name.clone(),
                    pods: cluster.pods.len(),
                }),
                Some(pod) if pod.finished => Err(AskError::Finished(name.clone())),
                Some(pod) if pod.host_network => Ok(Self::Host(pod)),
                Some(pod) => Ok(Self::Pod(pod)),
            },
        }
    }

    /// Whether it has an address of this family, or may have one.
    fn has(&self, ip4: bool) -> bool {
        match self {
            Self::Pod(pod) | Self::Host(pod) => {
                pod.addresses.is_empty() || pod.addresses.iter().any(|a| a.is_ipv4() == ip4)
            }
            Self::Address(address) => address.is_ipv4() == ip4,
            Self::Node => true,
        }
    }

    fn node(&self) -> Option<&'a str> {
        match self {
            Self::Pod(pod) | Self::Host(pod) => Some(&*pod.node).filter(|node| !node.is_empty()),
            Self::Address(_) | Self::Node => None,
        }
    }

    fn side(&self, cluster: &Cluster, other: &Self, ip4: bool) -> Side {
        let own = |pod: &Pod| {
            let mut addresses = pod.addresses.iter().copied();
            addresses.find(|address| address.is_ipv4() == ip4)
        };
        match self {
            Self::Pod(pod) => Side::Pod(pod.name.clone(), own(pod).unwrap_or(unspecified(ip4))),
            Self::Host(pod) => {
                let address = own(pod).unwrap_or(unspecified(ip4));
                if self.node().is_some() && self.node() == other.node() {
                    Side::Node(address)
                } else {
                    Side::Address(address)
                }
            }
            Self::Address(address) => Side::Address(*address),
            Self::Node => {
                let there = |pod: &&Pod| pod.host_network && Some(&*pod.node) == other.node();
                let mut pods = cluster.pods.iter().map(|pod| &**pod).filter(there);
                Side::Node(pods.find_map(own).unwrap_or(unspecified(ip4)))
            }
        }
    }
}

impl std::fmt::Display for End<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pod(pod) | Self::Host(pod) => write!(f, "pod {}", pod.name),
            Self::Address(address) => write!(f, "{address}"),
            Self::Node => write!(f, "the node"),
        }
    }
}

/// Who has an address.
fn at(cluster: &Cluster, address: IpAddr) -> End<'_> {
    let has = |pod: &&Pod| !pod.finished && pod.addresses.contains(&address);
    match cluster.pods.iter().map(|pod| &**pod).find(has) {
        Some(pod) if pod.host_network => End::Host(pod),
        Some(pod) => End::Pod(pod),
        None => End::Address(address),
    }
}

fn unspecified(ip4: bool) -> IpAddr {
    if ip4 {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cluster::{Labels, Protocol, Sources};

    const WEB: Traffic = Traffic::Port(Protocol::Tcp, 80);

    fn name(text: &str) -> Name {
        Name {
            namespace: "shop".into(),
            name: text.into(),
        }
    }

    fn pod(text: &str, node: &str, addresses: &[&str], host_network: bool) -> Arc<Pod> {
        let pod = Pod {
            name: name(text),
            uid: text.into(),
            node: node.into(),
            labels: Labels::default(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            host_network,
            finished: text == "done",
            named_ports: [].into(),
            sources: Sources::Own,
        };
        Arc::new(pod)
    }

    fn cluster() -> Cluster {
        let pods = [
            pod("a", "n1", &["10.1.0.1", "fd00::1"], false),
            pod("b", "n2", &["fd00::2"], false),
            pod("new", "", &[], false),
            pod("done", "n1", &["10.1.0.1"], false),
            pod("proxy", "n1", &["192.0.2.1"], true),
        ];
        Cluster {
            pods: pods.into_iter().collect(),
            ..Cluster::default()
        }
    }

    fn sides(from: &Asked, to: &Asked) -> Result<(Side, Side), String> {
        packet(&cluster(), from, to, WEB)
            .map(|packet| (packet.from, packet.to))
            .map_err(|error| error.to_string())
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn pods_meet_in_a_family_that_both_have() {
        let [a, b] = ["a", "b"].map(|text| Asked::Pod(name(text)));
        let b_side = Side::Pod(name("b"), address("fd00::2"));
        let a_side = Side::Pod(name("a"), address("fd00::1"));
        assert_eq!(sides(&a, &b), Ok((a_side, b_side)));
        assert_eq!(
            sides(&Asked::Address(address("10.0.0.1")), &b).unwrap_err(),
            "10.0.0.1 and pod shop/b have no address of one family"
        );
    }

    #[test]
    fn an_address_is_the_pod_that_has_it() {
        let (from, to) = sides(
            &Asked::Address(address("10.1.0.1")),
            &Asked::Address(address("10.9.9.9")),
        )
        .unwrap();
        assert_eq!(from, Side::Pod(name("a"), address("10.1.0.1")));
        assert_eq!(to, Side::Address(address("10.9.9.9")));
    }

    #[test]
    fn a_pod_in_the_nodes_network_is_the_node_to_pods_of_the_node() {
        let proxy = Asked::Pod(name("proxy"));
        let here = sides(&proxy, &Asked::Pod(name("a"))).unwrap().0;
        assert_eq!(here, Side::Node(address("192.0.2.1")));
        let there = sides(&proxy, &Asked::Address(address("10.9.9.9")))
            .unwrap()
            .0;
        assert_eq!(there, Side::Address(address("192.0.2.1")));
        let node = sides(&Asked::Node, &Asked::Pod(name("a"))).unwrap().0;
        assert_eq!(node, here);
    }

    #[test]
    fn a_pod_without_an_address_gets_one_of_the_other_ends_family() {
        let new = Asked::Pod(name("new"));
        let from = sides(&new, &Asked::Pod(name("b"))).unwrap().0;
        assert_eq!(from, Side::Pod(name("new"), address("::")));
        let from = sides(&new, &Asked::Node).unwrap().0;
        assert_eq!(from, Side::Pod(name("new"), address("0.0.0.0")));
    }

    #[test]
    fn pods_that_are_not_there_are_told() {
        let with = |text| sides(&Asked::Pod(name(text)), &Asked::Node).unwrap_err();
        assert_eq!(with("c"), "no pod shop/c is known, of 5 in all");
        assert_eq!(
            with("done"),
            "pod shop/done has finished: it sends nothing, and its address may be another pod's"
        );
    }
}
