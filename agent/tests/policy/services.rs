//! Services: ingress is judged on the real client, egress on the real backend, whatever kube-proxy did in between.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{
    Echo, Named, Namespace, POD_PORT, Policed, Proxy, Service, proxy, serve_echo, source_seen,
    wait_blocked, wait_reach,
};

use crate::stage::{
    CLIENT, CLIENTS_IN, CLIENTS_OUT, DENY_IN, DENY_OUT, MODES, OTHER, SERVER, cluster, on_node,
};

/// The node port of the service `near` and of `far`.
const NEAR: u16 = 30001;
const FAR: u16 = 30002;

/// Two nodes with a server each; on the first a client, a pod that is none, and a backend in the node's network.
struct Stage {
    policed: Policed,
    near: Named,
    far: Named,
    client: Named,
    other: Named,
    _echo: Echo,
}

/// The addresses of the services `near`, `far` and `host`.
fn virtual_ip(family: Family, number: u8) -> SocketAddr {
    let text = match family {
        Family::V4 => format!("10.96.0.{number}:80"),
        Family::V6 => format!("[fd00:96::{number}]:80"),
    };
    text.parse().expect("an address with a port")
}

fn pods(family: Family) -> &'static str {
    match family {
        Family::V4 => "10.244.0.0/16",
        Family::V6 => "fd00:244::/32",
    }
}

/// A policy that lets these addresses in, or pods out to them.
fn block(direction: &str, ip: std::net::IpAddr) -> String {
    let length = if ip.is_ipv4() { 32 } else { 128 };
    let (kind, side) = match direction {
        "ingress" => ("Ingress", "from"),
        _ => ("Egress", "to"),
    };
    format!(
        "{{podSelector: {{}}, policyTypes: [{kind}], {direction}: [{{{side}: [{{ipBlock: {{cidr: '{ip}/{length}'}}}}]}}]}}"
    )
}

impl Stage {
    fn new(mode: &str) -> Result<Self> {
        let policed = cluster(mode, 2, "")?;
        let near = policed.pod(0, "shop/near", SERVER)?;
        let far = policed.pod(1, "shop/far", SERVER)?;
        let client = policed.pod(0, "shop/client", CLIENT)?;
        let other = policed.pod(0, "shop/other", OTHER)?;
        let echo = serve_echo(policed.cluster.ns(0), POD_PORT)?;
        Ok(Self {
            policed,
            near,
            far,
            client,
            other,
            _echo: echo,
        })
    }

    /// Writes the first node's rules; `local` is `externalTrafficPolicy: Local`.
    fn proxy(&self, mode: Proxy, family: Family, local: bool) -> Result<()> {
        let service = |name, number, node_port, to, here| Service {
            name,
            cluster: virtual_ip(family, number),
            node_port,
            local,
            backends: vec![(to, here)],
        };
        let services = [
            service("near", 1, Some(NEAR), self.near.service(family)?, true),
            service("far", 2, Some(FAR), self.far.service(family)?, false),
            service(
                "host",
                3,
                None,
                on_node(&self.policed, 0, family, POD_PORT)?,
                true,
            ),
        ];
        proxy(self.policed.cluster.ns(0), mode, pods(family), &services)
    }

    fn router(&self) -> &Namespace {
        &self.policed.cluster.net.router
    }
}

/// Every mode of kube-proxy in every family.
fn each(stage: &Stage, local: bool, test: impl Fn(Family) -> Result<()>) -> Result<()> {
    for mode in Proxy::ALL {
        for family in Family::ALL {
            stage.proxy(mode, family, local)?;
            test(family).with_context(|| format!("{mode:?} {family}"))?;
        }
        // Of two modes at once the first one would win.
        for family in Family::ALL {
            proxy(stage.policed.cluster.ns(0), mode, pods(family), &[])?;
        }
    }
    Ok(())
}

#[test]
fn a_services_client_is_judged_and_its_backend() -> Result<()> {
    for mode in MODES {
        let stage = Stage::new(mode)?;
        stage.policed.apply("shop/in", CLIENTS_IN)?;
        stage.policed.apply("shop/out", CLIENTS_OUT)?;
        each(&stage, false, |family| {
            let (near, far, host) = (
                virtual_ip(family, 1),
                virtual_ip(family, 2),
                virtual_ip(family, 3),
            );
            wait_reach(&stage.client.ns, near)?;
            wait_reach(&stage.client.ns, far)?;
            wait_blocked(&stage.other.ns, near)?;
            wait_blocked(&stage.other.ns, far)?;
            // The third way out: a backend on the node itself.
            wait_blocked(&stage.client.ns, host)?;
            wait_reach(&stage.other.ns, host)
        })?;
    }
    Ok(())
}

#[test]
fn a_backend_in_the_nodes_network_is_allowed_by_the_nodes_address() -> Result<()> {
    let stage = Stage::new("direct")?;
    each(&stage, false, |family| {
        let node = stage.policed.cluster.host(0).ip(family)?;
        stage.policed.apply("shop/out", &block("egress", node))?;
        wait_blocked(&stage.client.ns, virtual_ip(family, 1))?;
        wait_reach(&stage.client.ns, virtual_ip(family, 3))?;
        // That the Service's own address is allowed is nothing to the backend's.
        stage
            .policed
            .apply("shop/out", &block("egress", virtual_ip(family, 3).ip()))?;
        wait_blocked(&stage.client.ns, virtual_ip(family, 3))
    })
}

#[test]
fn a_pod_reaches_itself_through_its_service() -> Result<()> {
    let stage = Stage::new("direct")?;
    stage.policed.apply("shop/in", DENY_IN)?;
    stage.policed.apply("shop/out", DENY_OUT)?;
    each(&stage, false, |family| {
        wait_blocked(&stage.client.ns, virtual_ip(family, 1))?;
        wait_reach(&stage.near.ns, virtual_ip(family, 1))
    })
}

#[test]
fn by_a_node_port_the_node_is_seen_unless_only_local_backends_count() -> Result<()> {
    let stage = Stage::new("direct")?;
    let outside = |family| {
        source_seen(
            stage.router(),
            on_node(&stage.policed, 0, family, POD_PORT)?,
        )
    };
    let outside = [outside(Family::V4)?, outside(Family::V6)?];
    let of = |family| outside[usize::from(family == Family::V6)];
    each(&stage, false, |family| {
        let (near, far) = (
            on_node(&stage.policed, 0, family, NEAR)?,
            on_node(&stage.policed, 0, family, FAR)?,
        );
        stage
            .policed
            .apply("shop/in", &block("ingress", of(family)))?;
        wait_blocked(stage.router(), far)?;
        wait_blocked(stage.router(), near)?;
        // What the node masqueraded is the node's.
        let node = stage.policed.cluster.host(0).ip(family)?;
        stage.policed.apply("shop/in", &block("ingress", node))?;
        wait_reach(stage.router(), far)
    })?;
    each(&stage, true, |family| {
        let near = on_node(&stage.policed, 0, family, NEAR)?;
        stage
            .policed
            .apply("shop/in", &block("ingress", of(family)))?;
        wait_reach(stage.router(), near)?;
        stage.policed.apply("shop/in", DENY_IN)?;
        wait_blocked(stage.router(), near)
    })
}

#[test]
fn by_a_node_port_of_its_own_node_a_pod_is_known() -> Result<()> {
    let stage = Stage::new("direct")?;
    stage.policed.apply("shop/in", CLIENTS_IN)?;
    for local in [false, true] {
        each(&stage, local, |family| {
            let near = on_node(&stage.policed, 0, family, NEAR)?;
            wait_reach(&stage.client.ns, near)?;
            wait_blocked(&stage.other.ns, near)
        })?;
    }
    Ok(())
}
