//! The ends of a packet as an operator writes them.

use std::net::{IpAddr, SocketAddr};

use fairlead_cni_node::policy::{Explain, PodName, Side};

use crate::CliError;

const SIDE: &str = "a pod (shop/web-0), an address (10.0.0.1, fd00::1) or node";
const TARGET: &str = "an end with port and protocol, as shop/web-0:80/tcp, [fd00::1]:53/udp, node:10250 or 10.0.0.1:icmp";
const NODE: &str = "node";

/// Protocols with ports.
const WITH_PORTS: [&str; 3] = ["tcp", "udp", "sctp"];

/// What `from` and `to` say of a packet. A pod without a namespace is in `namespace`.
pub(crate) fn packet(from: &str, to: &str, namespace: &str) -> Result<Explain, CliError> {
    let wrong = || CliError::Side {
        value: to.to_owned(),
        expected: TARGET,
    };
    let (end, rest) = to.rsplit_once(':').ok_or_else(wrong)?;
    let (protocol, port) = service(rest).ok_or_else(wrong)?;
    // An IPv6 address needs brackets: its last group looks like a port.
    let bare = end
        .strip_prefix('[')
        .and_then(|end| end.strip_suffix(']'))
        .filter(|end| end.contains(':'));
    let to = match bare {
        Some(address) => side(address, namespace).map_err(|_| wrong())?,
        None if end.contains(':') => return Err(wrong()),
        None => side(end, namespace).map_err(|_| wrong())?,
    };
    Ok(Explain {
        from: side(from, namespace)?,
        to,
        protocol,
        port,
    })
}

/// A pod by its name.
pub(crate) fn pod(text: &str, namespace: &str) -> Result<PodName, CliError> {
    match side(text, namespace)? {
        Side::Pod(pod) => Ok(pod),
        _ => Err(CliError::Side {
            value: text.to_owned(),
            expected: "a pod, as shop/web-0",
        }),
    }
}

fn side(text: &str, namespace: &str) -> Result<Side, CliError> {
    if text == NODE {
        return Ok(Side::Node);
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(Side::Address(address));
    }
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    if !is_name(namespace) || !is_name(name) {
        return Err(CliError::Side {
            value: text.to_owned(),
            expected: SIDE,
        });
    }
    Ok(Side::Pod(PodName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }))
}

/// As Kubernetes names pods and namespaces (RFC 1123 subdomains).
fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    ends.iter().all(|end| end.is_some_and(known))
        && text
            .bytes()
            .all(|byte| known(byte) || matches!(byte, b'-' | b'.'))
}

/// `80`, `80/udp`, `icmp` or `0/47`: a protocol and a port.
fn service(text: &str) -> Option<(String, u16)> {
    let (port, protocol) = match text.split_once('/') {
        Some((port, protocol)) => (port, protocol),
        None if text.bytes().all(|byte| byte.is_ascii_digit()) => (text, "tcp"),
        None => ("0", text),
    };
    let protocol = protocol.to_ascii_lowercase();
    let port: u16 = port.parse().ok()?;
    let has_ports = WITH_PORTS.contains(&protocol.as_str());
    let known = has_ports || protocol == "icmp" || protocol.parse::<u8>().is_ok();
    (known && has_ports == (port != 0)).then_some((protocol, port))
}

/// One end as an operator writes it.
pub(crate) fn endpoint(address: IpAddr, port: u16) -> String {
    match port {
        0 => address.to_string(),
        port => SocketAddr::new(address, port).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(from: &str, to: &str) -> String {
        match packet(from, to, "default") {
            Ok(Explain {
                from,
                to,
                protocol,
                port,
            }) => format!("{} > {} {protocol} {port}", name(&from), name(&to)),
            Err(error) => error.to_string(),
        }
    }

    fn name(side: &Side) -> String {
        match side {
            Side::Pod(pod) => format!("pod {pod}"),
            Side::Address(address) => format!("address {address}"),
            Side::Node => "the node".to_owned(),
        }
    }

    #[test]
    fn pods_addresses_and_the_node_can_be_ends() {
        assert_eq!(
            told("shop/a", "web-0:80/tcp"),
            "pod shop/a > pod default/web-0 tcp 80"
        );
        assert_eq!(
            told("node", "shop/b:53/UDP"),
            "the node > pod shop/b udp 53"
        );
        assert_eq!(
            told("10.0.0.1", "node:10250"),
            "address 10.0.0.1 > the node tcp 10250"
        );
        assert_eq!(
            told("fd00::1", "[fd00::2]:443/sctp"),
            "address fd00::1 > address fd00::2 sctp 443"
        );
        assert_eq!(
            told("a", "10.0.0.1:icmp"),
            "pod default/a > address 10.0.0.1 icmp 0"
        );
        assert_eq!(told("a", "b:0/47"), "pod default/a > pod default/b 47 0");
    }

    #[test]
    fn what_is_none_is_refused_with_an_example() {
        assert_eq!(
            told("shop/", "b:80"),
            "\"shop/\" is not a pod (shop/web-0), an address (10.0.0.1, fd00::1) or node"
        );
        for to in [
            "b",
            "b:",
            "b:http",
            "b:80/igmp",
            "b:65536",
            "b:0",
            "b:80/icmp",
            "fd00::2:80",
            "[10.0.0.1]:80",
            "/b:80",
            "a/b/c:80",
            "B:80",
            ":80",
            "[fd00::2]",
        ] {
            assert_eq!(
                told("a", to),
                format!(
                    "{to:?} is not an end with port and protocol, as shop/web-0:80/tcp, [fd00::1]:53/udp, \
                     node:10250 or 10.0.0.1:icmp"
                )
            );
        }
        assert_eq!(
            pod("10.0.0.1", "default").unwrap_err().to_string(),
            "\"10.0.0.1\" is not a pod, as shop/web-0"
        );
    }
}
