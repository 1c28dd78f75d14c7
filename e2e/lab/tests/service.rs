//! Rules for Services, as tests of policy meet them.

use std::net::SocketAddr;

use anyhow::Result;
use fairlead_cni_netlink::{Family, Sysctl};
use fairlead_e2e_lab::{
    Namespace, Proxy, Service, connect, ip, proxy, serve_echo, source_seen, wait_reach,
};

/// A client behind a node, and a server behind it.
struct Stage {
    node: Namespace,
    client: Namespace,
    server: Namespace,
}

impl Stage {
    fn new() -> Result<Self> {
        let stage = Self {
            node: Namespace::new("node")?,
            client: Namespace::new("client")?,
            server: Namespace::new("server")?,
        };
        stage.node.loopback_up()?;
        for (link, end, number) in [("c", &stage.client, 1), ("s", &stage.server, 2)] {
            connect(&stage.node, link, end, "eth0")?;
            ip(
                &stage.node,
                &format!("address add 10.244.{number}.254/24 dev {link}"),
            )?;
            ip(
                &stage.node,
                &format!("address add fd00:244:{number}::fe/64 dev {link} nodad"),
            )?;
            ip(end, &format!("address add 10.244.{number}.1/24 dev eth0"))?;
            ip(
                end,
                &format!("address add fd00:244:{number}::1/64 dev eth0 nodad"),
            )?;
            ip(end, &format!("route add default via 10.244.{number}.254"))?;
            ip(end, &format!("route add default via fd00:244:{number}::fe"))?;
        }
        stage.node.run(|| {
            Sysctl::new("net/ipv4/ip_forward").write("1")?;
            Sysctl::new("net/ipv6/conf/all/forwarding").write("1")
        })??;
        Ok(stage)
    }

    /// The service at the server, its own addresses of a family, and the cluster's range.
    fn service(family: Family) -> (Service, &'static str, SocketAddr) {
        let (pods, cluster, node, server) = match family {
            Family::V4 => (
                "10.244.0.0/16",
                "10.96.0.10:80",
                "10.244.1.254:30080",
                "10.244.2.1:7",
            ),
            Family::V6 => (
                "fd00:244::/32",
                "[fd00:96::10]:80",
                "[fd00:244:1::fe]:30080",
                "[fd00:244:2::1]:7",
            ),
        };
        let parse = |text: &str| text.parse::<SocketAddr>().expect("an address with a port");
        let service = Service {
            name: "echo",
            cluster: parse(cluster),
            node_port: Some(30080),
            local: false,
            backends: vec![(parse(server), true)],
        };
        (service, pods, parse(node))
    }
}

#[test]
fn each_mode_leads_to_the_backend_by_both_addresses_and_masquerades_as_kube_proxy_does()
-> Result<()> {
    let stage = Stage::new()?;
    let _echo = serve_echo(&stage.server, 7)?;
    for mode in Proxy::ALL {
        for family in Family::ALL {
            let (mut service, pods, node_port) = Stage::service(family);
            proxy(&stage.node, mode, pods, &[service.clone()])?;
            wait_reach(&stage.client, service.cluster)?;
            // A pod reaches a backend under its own address.
            let client = source_seen(&stage.client, service.cluster)?;
            assert_ne!(client.to_string(), node_port.ip().to_string(), "{mode:?}");
            // By a node's port it is the node that speaks, unless only local backends count.
            let masqueraded = source_seen(&stage.client, node_port)?;
            assert_ne!(masqueraded, client, "{mode:?}");
            service.local = true;
            proxy(&stage.node, mode, pods, &[service.clone()])?;
            assert_eq!(source_seen(&stage.client, node_port)?, client, "{mode:?}");
            // A backend that asks its own service does not see itself.
            let itself = service.backends[0].0.ip();
            assert_ne!(
                source_seen(&stage.server, service.cluster)?,
                itself,
                "{mode:?}"
            );
            proxy(&stage.node, mode, pods, &[])?;
        }
    }
    Ok(())
}
