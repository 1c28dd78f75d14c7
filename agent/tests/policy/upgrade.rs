//! Agents and programs are replaced under load.

use anyhow::{Result, ensure};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Flow, LIMIT, Named, Policed, TcpTalk};

use crate::stage::{CLIENT, CLIENTS_IN, CLIENTS_OUT, MODES, SERVER, cluster, wait_open};

/// Packets that pass before and after each change.
const SOME: u64 = 1_000;

/// How often programs are replaced under one flow.
const TIMES: usize = 5;

/// How often a run may be repeated because the machine lost packets of its own.
const RUNS: usize = 5;

/// The port of flows.
const PORT: u16 = 5001;

/// Lets servers in from clients and clients out to servers, on all ports.
const IN: &str = "{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress], \
     ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]}";
const OUT: &str = "{podSelector: {matchLabels: {app: client}}, policyTypes: [Ingress, Egress], \
     egress: [{to: [{podSelector: {matchLabels: {app: server}}}]}]}";

/// Ends a node's agent and starts it anew, without the programs that it had pinned: it loads its own and puts them
/// in the place of those on links, as one of another release does.
fn replace(policed: &mut Policed, node: usize) -> Result<()> {
    policed.take_agent(node)?.terminate()?;
    let home = policed.bpf_folder(node).path().join("v1");
    let mut removed = 0;
    for entry in std::fs::read_dir(home)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        // That of the node has a name that tells which it is.
        let program = |known| name.is_some_and(|name| name.starts_with(known));
        if ["from_pod", "to_pod", "to_wire", "to_node"]
            .into_iter()
            .any(program)
        {
            std::fs::remove_file(path)?;
            removed += 1;
        }
    }
    ensure!(removed == 4, "{removed} programs were pinned");
    policed.start(node)?;
    let agent = policed.agent(node)?;
    agent.wait_ready()?;
    let log = agent.log();
    let last = log
        .lines()
        .rfind(|line| line.contains("policy programs loaded"));
    let replaced = last.is_some_and(|line| line.contains("found=OtherPrograms"));
    ensure!(replaced, "{last:?}");
    Ok(())
}

/// The packets that a flow lost while programs were replaced.
fn lost(policed: &mut Policed, from: &Named, to: &Named, family: Family) -> Result<u64> {
    let flow = Flow::start(&from.ns, &to.ns, to.ip(family)?, PORT)?;
    flow.wait_arrived(SOME, LIMIT)?;
    for _ in 0..TIMES {
        for node in policed.cluster.numbers() {
            replace(policed, node)?;
        }
        flow.wait_arrived(SOME, LIMIT)?;
    }
    Ok(flow.finish()?.lost())
}

#[test]
fn replacing_agents_and_programs_loses_no_packet_and_no_connection() -> Result<()> {
    for mode in MODES {
        let mut policed = cluster(mode, 2, "")?;
        policed.apply("shop/in", IN)?;
        policed.apply("shop/out", OUT)?;
        let client = policed.pod(0, "shop/client", CLIENT)?;
        let near = policed.pod(0, "shop/near", SERVER)?;
        let far = policed.pod(1, "shop/far", SERVER)?;
        for to in [&near, &far] {
            wait_open(&client, to)?;
            let mut talks = Vec::new();
            for family in Family::ALL {
                talks.push(TcpTalk::open(&client.ns, to.service(family)?)?);
            }
            let mut seen = Vec::new();
            while !seen.contains(&0) {
                ensure!(seen.len() < RUNS, "lost in each run: {seen:?}");
                let family = Family::ALL[seen.len() % 2];
                seen.push(lost(&mut policed, &client, to, family)?);
            }
            for talk in &mut talks {
                talk.say()?;
            }
        }
    }
    Ok(())
}

#[test]
fn an_agent_that_finds_all_as_it_is_to_be_writes_nothing() -> Result<()> {
    let mut policed = cluster("direct", 2, "")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    policed.apply("shop/out", CLIENTS_OUT)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    let far = policed.pod(1, "shop/far", SERVER)?;
    wait_open(&client, &far)?;
    policed.take_agent(0)?.terminate()?;
    policed.start(0)?;
    let agent = policed.agent(0)?;
    agent.wait_ready()?;
    let log = agent.log();
    for text in [
        "policy programs loaded found=Same",
        "policy maps compared written=0 removed=0",
    ] {
        let last = log.lines().rfind(|line| line.contains(&text[..20]));
        ensure!(
            last.is_some_and(|line| line.contains(text)),
            "{last:?}, not {text:?}"
        );
    }
    ensure!(
        agent.metric("fairlead_policy_attached_total")? == 0,
        "programs were put on links"
    );
    Ok(())
}
