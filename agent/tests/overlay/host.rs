//! The node itself as an end: its processes, host-network pods, and Services that lead to other nodes.

use anyhow::Result;
use fairlead_cni_netlink::{Family, Sysctl};
use fairlead_e2e_lab::{Families, Namespace, POD_PORT, Pod, serve_echo, source_seen, wait_reach};

use crate::cluster::{Cluster, THREE, device_ip, nft};
use crate::paths::pods;

/// Where kube-proxy would listen.
const NODE_PORT: u16 = 30080;

/// Makes the kernel filter by reverse path in mode `value`, on links that are and links that come.
fn filter_by_reverse_path(ns: &Namespace, value: u8) -> Result<()> {
    ns.run(|| {
        for key in ["all", "default", "eth0"] {
            Sysctl::new(&format!("net/ipv4/conf/{key}/rp_filter")).write(&value.to_string())?;
        }
        anyhow::Ok(())
    })?
}

/// Checks nodes that filter by reverse path in mode `value`, and a pod on each, with either use of the tunnel.
fn filtering(value: u8, check: fn(&Cluster, &[Pod], &str) -> Result<()>) -> Result<()> {
    for tunnel in ["crossSubnet", "always"] {
        let cluster = Cluster::new(Families::Dual, &THREE)?;
        for node in &cluster.net.nodes {
            filter_by_reverse_path(&node.ns, value)?;
        }
        let _agents = cluster.start_all(&format!("vxlan: {{tunnel: {tunnel}}}"))?;
        check(&cluster, &pods(&cluster)?, tunnel)?;
    }
    Ok(())
}

/// Pods, host → remote pod, and pod → remote node, with the sources that the other end sees.
fn host_to_pods(cluster: &Cluster, pods: &[Pod], tunnel: &str) -> Result<()> {
    for family in Family::ALL {
        wait_reach(&pods[0].ns, pods[2].service(family)?)?;
        wait_reach(&pods[0].ns, pods[1].service(family)?)?;
        // A process of the node, or a pod on its network: an API server that calls a webhook.
        wait_reach(cluster.ns(0), pods[2].service(family)?)?;
        let seen = source_seen(cluster.ns(0), pods[2].service(family)?)?;
        assert_eq!(seen, device_ip(0, family), "{tunnel}");
        wait_reach(cluster.ns(0), pods[1].service(family)?)?;
        wait_reach(cluster.ns(0), pods[0].service(family)?)?;
        // The other way: a pod asks the other node.
        let _echo = serve_echo(cluster.ns(2), 8)?;
        let node = cluster.host(2).ip(family)?;
        wait_reach(&pods[0].ns, (node, 8).into())?;
    }
    Ok(())
}

#[test]
fn nodes_reach_remote_pods_without_reverse_path_filter() -> Result<()> {
    filtering(0, host_to_pods)
}

#[test]
fn nodes_reach_remote_pods_with_a_strict_reverse_path_filter() -> Result<()> {
    filtering(1, host_to_pods)
}

#[test]
fn nodes_reach_remote_pods_with_a_loose_reverse_path_filter() -> Result<()> {
    filtering(2, host_to_pods)
}

/// A Service of policy Cluster as kube-proxy makes it: translated to a backend, and masqueraded.
fn node_port(ns: &Namespace, backends: [std::net::SocketAddr; 2]) -> Result<()> {
    let [v4, v6] = backends;
    nft(
        ns,
        &format!(
            "table inet kube-proxy {{ \
               chain services {{ type nat hook prerouting priority dstnat; \
                 meta nfproto ipv4 fib daddr type local tcp dport {NODE_PORT} meta mark set mark or 0x4000 dnat ip to {v4}; \
                 meta nfproto ipv6 fib daddr type local tcp dport {NODE_PORT} meta mark set mark or 0x4000 dnat ip6 to {v6}; }}; \
               chain local {{ type nat hook output priority -100; \
                 meta nfproto ipv4 fib daddr type local tcp dport {NODE_PORT} meta mark set mark or 0x4000 dnat ip to {v4}; \
                 meta nfproto ipv6 fib daddr type local tcp dport {NODE_PORT} meta mark set mark or 0x4000 dnat ip6 to {v6}; }}; \
               chain masquerading {{ type nat hook postrouting priority srcnat; \
                 meta mark & 0x4000 == 0x4000 meta mark set mark xor 0x4000 masquerade fully-random; }}; }}"
        ),
    )?;
    Ok(())
}

/// A node port of `n0` whose backend is on `n2`, asked for from outside, from pods, and from the node.
fn node_port_to_remote_backend(cluster: &Cluster, pods: &[Pod], tunnel: &str) -> Result<()> {
    node_port(
        cluster.ns(0),
        [pods[2].service(Family::V4)?, pods[2].service(Family::V6)?],
    )?;
    for family in Family::ALL {
        let to = (cluster.host(0).ip(family)?, NODE_PORT).into();
        // The router stands for a client outside, `n1` for one in the subnet, `n2` for the backend's node.
        let asking = [
            &cluster.net.router,
            cluster.ns(1),
            cluster.ns(2),
            cluster.ns(0),
        ];
        for ns in asking.into_iter().chain([&pods[0].ns, &pods[1].ns]) {
            // The backend answers through the tunnel, to where the question came from.
            assert_eq!(source_seen(ns, to)?, device_ip(0, family), "{tunnel}");
        }
    }
    Ok(())
}

#[test]
fn a_node_port_reaches_a_remote_backend_without_reverse_path_filter() -> Result<()> {
    filtering(0, node_port_to_remote_backend)
}

#[test]
fn a_node_port_reaches_a_remote_backend_with_a_strict_reverse_path_filter() -> Result<()> {
    filtering(1, node_port_to_remote_backend)
}

#[test]
fn a_node_port_reaches_a_remote_backend_with_a_loose_reverse_path_filter() -> Result<()> {
    filtering(2, node_port_to_remote_backend)
}

#[test]
fn a_pod_that_leaves_the_cluster_has_its_nodes_address() -> Result<()> {
    let (cluster, _agents) = Cluster::ready(Families::Dual, &THREE, "")?;
    let pod = cluster.pod(0, "pod")?;
    let _echo = serve_echo(&cluster.net.router, POD_PORT)?;
    for (family, router) in [(Family::V4, "198.18.0.254"), (Family::V6, "2001:db8::fe")] {
        let to = (router.parse::<std::net::IpAddr>()?, POD_PORT).into();
        assert_eq!(source_seen(&pod.ns, to)?, cluster.host(0).ip(family)?);
    }
    Ok(())
}
