//! Services as kube-proxy programs them: rules of the same shape, with the same marks, in its three modes.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};

use crate::namespace::Namespace;

/// The bit of the mark by which kube-proxy masquerades.
const MASQUERADE: &str = "0x4000";

/// The protocols that every service has.
const PROTOCOLS: [&str; 2] = ["tcp", "udp"];

/// A mode of kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// `--proxy-mode=nftables`.
    Nftables,
    /// `--proxy-mode=iptables` with iptables-nft.
    IptablesNft,
    /// `--proxy-mode=iptables` with iptables-legacy.
    IptablesLegacy,
}

impl Proxy {
    /// All.
    pub const ALL: [Self; 3] = [Self::Nftables, Self::IptablesNft, Self::IptablesLegacy];
}

/// A Service as one node sees it. TCP and UDP.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// Its virtual address and port.
    pub cluster: SocketAddr,
    /// Its port on every node.
    pub node_port: Option<u16>,
    /// `externalTrafficPolicy: Local`.
    pub local: bool,
    /// Its backends, each with whether it is on this node.
    pub backends: Vec<(SocketAddr, bool)>,
}

/// Replaces a node's rules for Services of one family. `pods` is the cluster's range of that family.
pub fn proxy(ns: &Namespace, mode: Proxy, pods: &str, services: &[Service]) -> Result<()> {
    let v6 = pods.contains(':');
    let program = match (mode, v6) {
        (Proxy::Nftables, _) => {
            return feed(ns, "nft", &["-f", "-"], &nftables(v6, pods, services));
        }
        (Proxy::IptablesNft, false) => "iptables-nft-restore",
        (Proxy::IptablesNft, true) => "ip6tables-nft-restore",
        (Proxy::IptablesLegacy, false) => "iptables-legacy-restore",
        (Proxy::IptablesLegacy, true) => "ip6tables-legacy-restore",
    };
    feed(ns, program, &[], &iptables(pods, services))
}

fn feed(ns: &Namespace, program: &str, args: &[&str], text: &str) -> Result<()> {
    let mut command = ns.command(program);
    command
        .args(args)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| program.to_owned())?;
    let mut input = child.stdin.take().context("no stdin")?;
    input.write_all(text.as_bytes())?;
    drop(input);
    let output = child.wait_with_output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {told}\n{text}");
    Ok(())
}

fn nftables(v6: bool, pods: &str, services: &[Service]) -> String {
    let (family, kind) = if v6 {
        ("ip6", "ipv6_addr")
    } else {
        ("ip", "ipv4_addr")
    };
    let table = format!("{family} kube-proxy");
    let mut chains = String::new();
    let (mut ips, mut ports) = (Vec::new(), Vec::new());
    for service in services {
        let name = service.name;
        let (ip, port) = (service.cluster.ip(), service.cluster.port());
        for protocol in PROTOCOLS {
            ips.push(format!("{ip} . {protocol} . {port} : goto service-{name}"));
            ports.extend(
                service
                    .node_port
                    .map(|port| format!("{protocol} . {port} : goto external-{name}")),
            );
        }
        put_nft_service(&mut chains, family, pods, service);
    }
    let elements = |all: &[String]| match all {
        [] => String::new(),
        all => format!("elements = {{ {} }}", all.join(", ")),
    };
    format!(
        "table {table} {{}}\ndelete table {table}\ntable {table} {{
 map service-ips {{ type {kind} . inet_proto . inet_service : verdict; {} }}
 map service-nodeports {{ type inet_proto . inet_service : verdict; {} }}
 chain mark-for-masquerade {{ meta mark set meta mark or {MASQUERADE}; }}
 chain masquerading {{
  meta mark and {MASQUERADE} == 0 return
  meta mark set meta mark xor {MASQUERADE}
  masquerade fully-random
 }}
{chains} chain services {{
  {family} daddr . meta l4proto . th dport vmap @service-ips
  fib daddr type local meta l4proto . th dport vmap @service-nodeports
 }}
 chain filter-forward {{ type filter hook forward priority 0; ct state invalid drop; }}
 chain nat-prerouting {{ type nat hook prerouting priority dstnat; jump services; }}
 chain nat-output {{ type nat hook output priority -100; jump services; }}
 chain nat-postrouting {{ type nat hook postrouting priority srcnat; jump masquerading; }}
}}
",
        elements(&ips),
        elements(&ports),
    )
}

fn put_nft_service(chains: &mut String, family: &str, pods: &str, service: &Service) {
    let (name, ip) = (service.name, service.cluster.ip());
    let pick = |of: &[usize]| {
        let arms = of.iter().enumerate();
        let arms: Vec<_> = arms
            .map(|(arm, at)| format!("{arm} : goto endpoint-{name}-{at}"))
            .collect();
        match of.len() {
            0 => "drop".to_owned(),
            n => format!("numgen random mod {n} vmap {{ {} }}", arms.join(", ")),
        }
    };
    let (all, here) = backends(service);
    for (at, (to, _)) in service.backends.iter().enumerate() {
        let _ = write!(
            chains,
            " chain endpoint-{name}-{at} {{\n  {family} saddr {} jump mark-for-masquerade
  meta l4proto tcp dnat to {to}\n  meta l4proto udp dnat to {to}\n }}\n",
            to.ip(),
        );
    }
    let _ = write!(
        chains,
        " chain service-{name} {{\n  {family} daddr {ip} {family} saddr != {pods} jump mark-for-masquerade\n  {}\n }}\n",
        pick(&all)
    );
    if service.local {
        let _ = write!(
            chains,
            " chain external-{name} {{\n  {family} saddr {pods} goto service-{name}
  fib saddr type local jump mark-for-masquerade\n  fib saddr type local goto service-{name}\n  {}\n }}\n",
            pick(&here)
        );
    } else {
        let _ = write!(
            chains,
            " chain external-{name} {{\n  jump mark-for-masquerade\n  goto service-{name}\n }}\n"
        );
    }
}

/// The numbers of all backends and of those on this node.
fn backends(service: &Service) -> (Vec<usize>, Vec<usize>) {
    let all = service.backends.iter().enumerate();
    let here = all.clone().filter(|(_, (_, here))| *here);
    (
        all.map(|(at, _)| at).collect(),
        here.map(|(at, _)| at).collect(),
    )
}

fn iptables(pods: &str, services: &[Service]) -> String {
    let mut chains = String::new();
    let mut rules = String::new();
    for service in services {
        put_iptables_service(&mut chains, &mut rules, pods, service);
    }
    let bit = format!("{MASQUERADE}/{MASQUERADE}");
    format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n:KUBE-MARK-MASQ - [0:0]\n:KUBE-POSTROUTING - [0:0]
{chains}-A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n-A POSTROUTING -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark {bit}
-A KUBE-POSTROUTING -m mark ! --mark {bit} -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark {MASQUERADE}
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
{rules}-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
COMMIT
*filter\n:FORWARD ACCEPT [0:0]\n:KUBE-FORWARD - [0:0]
-A FORWARD -j KUBE-FORWARD\n-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
"
    )
}

fn put_iptables_service(chains: &mut String, rules: &mut String, pods: &str, service: &Service) {
    let name = service.name;
    let (ip, port) = (service.cluster.ip(), service.cluster.port());
    let length = if ip.is_ipv4() { 32 } else { 128 };
    for kind in ["SVC", "SVL", "EXT"] {
        let _ = writeln!(chains, ":KUBE-{kind}-{name} - [0:0]");
    }
    for protocol in PROTOCOLS {
        let what = format!("-d {ip}/{length} -p {protocol} -m {protocol} --dport {port}");
        let _ = writeln!(rules, "-A KUBE-SERVICES {what} -j KUBE-SVC-{name}");
        let _ = writeln!(
            rules,
            "-A KUBE-SVC-{name} ! -s {pods} {what} -j KUBE-MARK-MASQ"
        );
        if let Some(port) = service.node_port {
            let what = format!("-p {protocol} -m {protocol} --dport {port}");
            let _ = writeln!(rules, "-A KUBE-NODEPORTS {what} -j KUBE-EXT-{name}");
        }
    }
    if service.local {
        let local = "-m addrtype --src-type LOCAL";
        let _ = write!(
            rules,
            "-A KUBE-EXT-{name} -s {pods} -j KUBE-SVC-{name}\n-A KUBE-EXT-{name} {local} -j KUBE-MARK-MASQ
-A KUBE-EXT-{name} {local} -j KUBE-SVC-{name}\n-A KUBE-EXT-{name} -j KUBE-SVL-{name}\n"
        );
    } else {
        let _ = write!(
            rules,
            "-A KUBE-EXT-{name} -j KUBE-MARK-MASQ\n-A KUBE-EXT-{name} -j KUBE-SVC-{name}\n"
        );
    }
    let (all, here) = backends(service);
    for (chain, of) in [("SVC", all), ("SVL", here)] {
        for (at, left) in of.iter().zip((1..=of.len()).rev()) {
            // One in as many as are left, the last one always.
            let one_in = u32::try_from(left).unwrap_or(u32::MAX);
            let chance = 1.0 / f64::from(one_in);
            let _ = writeln!(
                rules,
                "-A KUBE-{chain}-{name} -m statistic --mode random --probability {chance:.10} -j KUBE-SEP-{name}-{at}"
            );
        }
    }
    for (at, (to, _)) in service.backends.iter().enumerate() {
        let ip: IpAddr = to.ip();
        let _ = writeln!(chains, ":KUBE-SEP-{name}-{at} - [0:0]");
        let _ = writeln!(
            rules,
            "-A KUBE-SEP-{name}-{at} -s {ip}/{length} -j KUBE-MARK-MASQ"
        );
        for protocol in PROTOCOLS {
            let _ = writeln!(
                rules,
                "-A KUBE-SEP-{name}-{at} -p {protocol} -m {protocol} -j DNAT --to-destination {to}"
            );
        }
    }
}
