//! What is wrong is told by name, and what cannot be understood allows nothing.

use anyhow::Result;
use fairlead_e2e_lab::{PodObject, Policed, nft};

use crate::stage::{
    CLIENT, CLIENTS_IN, OTHER, SERVER, assert_closed, assert_open, cluster, direct, net, programs,
    wait_closed, wait_open,
};

#[test]
fn a_policy_that_means_nothing_allows_nothing_and_is_told() -> Result<()> {
    let policed = direct(1)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    wait_open(&client, &server)?;
    policed.apply(
        "shop/icmp",
        "{podSelector: {matchLabels: {app: server}}, ingress: [{ports: [{protocol: ICMP}]}]}",
    )?;
    let agent = policed.agent(0)?;
    agent.wait_condition(
        "PolicyFault: network policy shop/icmp: spec.ingress[0].ports[0].protocol is \"ICMP\", expected TCP, UDP \
         or SCTP; it matches no packet",
    )?;
    wait_closed(&client, &server)?;
    // An exception beside its block takes nothing away.
    policed.apply(
        "shop/icmp",
        "{podSelector: {matchLabels: {app: server}}, ingress: [{from: [\
         {ipBlock: {cidr: 10.0.0.0/8, except: [192.0.2.0/24]}}, {ipBlock: {cidr: 'fd00::/8'}}]}]}",
    )?;
    agent.wait_condition("except[0] is \"192.0.2.0/24\" outside of 10.0.0.0/8")?;
    wait_open(&client, &server)?;
    policed.withdraw("shop/icmp")?;
    agent.wait_no_condition("PolicyFault")
}

#[test]
fn filters_that_somebody_removes_are_back_at_once_and_told() -> Result<()> {
    let policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_closed(&other, &server)?;
    let ns = policed.cluster.ns(0);
    let agent = policed.agent(0)?;
    let series = "fairlead_repairs_total{object=\"filter\"}";
    agent.wait_metric(series, 0)?;
    ns.output("tc", &["qdisc", "del", "dev", &server.host_link, "clsact"])?;
    agent.wait_metric(series, 1)?;
    agent.wait_condition(&format!(
        "FilterRemoved: the policy programs on link {} had been removed and were put back",
        server.host_link
    ))?;
    assert_closed(&other, &server)
}

#[test]
fn a_pod_that_the_cluster_does_not_know_is_told() -> Result<()> {
    let policed = cluster("direct", 1, "startTimeout: 100ms")?;
    let object = PodObject::new("shop/late", OTHER);
    let args = object.cni_args("late");
    let late = policed
        .cluster
        .pod_as(0, "late", policed.plugin(0)?, Some(&args))?;
    policed.agent(0)?.wait_condition(&format!(
        "PodUnknown: pod shop/late runs behind link {}, but the cluster does not know it: nothing passes until it \
         does, or until the runtime removes the pod",
        late.host_link
    ))?;
    policed.cluster.delete(&late)?;
    policed.agent(0)?.wait_no_condition("PodUnknown")
}

#[test]
fn a_node_without_a_bpf_file_system_says_so_and_keeps_its_network() -> Result<()> {
    let policed = Policed::new(net("direct", 2)?, programs(), "", "")?;
    let agent = policed
        .cluster
        .start_with(0, "policy: {bpfDir: /tmp/fairlead-no-bpf}")?;
    agent.wait_condition(
        "PolicyOff: node n0 enforces no policy: /tmp/fairlead-no-bpf/v1 is not in a BPF file system",
    )?;
    agent.wait_condition("[+] routes programmed\n")?;
    let (code, text) = agent.readiness()?;
    assert_eq!(code, 503);
    assert!(text.contains("[-] policies enforced\n"), "{text}");
    Ok(())
}

#[test]
fn switched_off_nothing_of_it_stays() -> Result<()> {
    let mut policed = direct(1)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_closed(&other, &server)?;
    policed.take_agent(0)?.terminate()?;
    policed.configure("enabled: false");
    policed.start(0)?;
    policed.agent(0)?.wait_ready()?;
    assert_open(&other, &server)?;
    let ns = policed.cluster.ns(0);
    let link = server.host_link.as_str();
    let filters = ns.output("tc", &["filter", "show", "dev", link, "egress"])?;
    assert!(!filters.contains("fairlead"), "{filters}");
    assert!(!nft(ns, "list tables")?.contains("fairlead-policy"));
    assert!(!policed.bpf_folder(0).path().join("v1").exists());
    assert!(policed.plugin(0)?.get("policy").is_none());
    Ok(())
}
