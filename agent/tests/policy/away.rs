//! The agent is away: what is enforced stays so, and pods start as the configuration says.

use anyhow::{Context as _, Result};
use fairlead_cni_netlink::Family;
use fairlead_e2e_lab::{Failure, Named, PodObject, Policed, TcpTalk};

use crate::bridge::bridged;
use crate::stage::{
    CLIENT, CLIENTS_IN, OTHER, SERVER, assert_closed, assert_open, cluster, direct, net, programs,
    wait_closed, wait_open,
};

/// The code and text of an ADD that failed.
fn failure(result: Result<Named>) -> Result<Failure> {
    match result {
        Ok(named) => anyhow::bail!("{} started", named.object.name),
        Err(error) => error.downcast(),
    }
}

fn kill(policed: &mut Policed, node: usize) -> Result<()> {
    policed.take_agent(node)?.kill()
}

#[test]
fn what_is_enforced_stays_enforced_without_the_agent() -> Result<()> {
    let mut policed = direct(2)?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(1, "shop/client", CLIENT)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_open(&client, &server)?;
    wait_closed(&other, &server)?;
    for node in [0, 1] {
        kill(&mut policed, node)?;
    }
    assert_open(&client, &server)?;
    assert_closed(&other, &server)?;
    // What changed meanwhile is made up for.
    policed.withdraw("shop/in")?;
    policed.apply(
        "shop/out",
        "{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}",
    )?;
    assert_closed(&other, &server)?;
    for node in [0, 1] {
        policed.start(node)?;
    }
    wait_open(&other, &server)?;
    wait_closed(&client, &server)?;
    Ok(())
}

#[test]
fn by_default_no_pod_starts_without_the_agent() -> Result<()> {
    let mut policed = direct(1)?;
    kill(&mut policed, 0)?;
    let told = failure(policed.pod(0, "shop/one", OTHER))?;
    assert_eq!(told.code, 11);
    assert!(
        told.msg.contains("no pod starts without its policy"),
        "{told}"
    );
    policed.start(0)?;
    policed.agent(0)?.wait_ready()?;
    let one = policed.pod(0, "shop/one", OTHER)?;
    let two = policed.pod(0, "shop/two", OTHER)?;
    assert_open(&one, &two)?;
    Ok(())
}

#[test]
fn pods_that_start_denied_are_let_go_when_the_agent_knows_them() -> Result<()> {
    for mode in ["direct", "vxlan"] {
        let mut policed = cluster(mode, 1, "onAgentAway: deny")?;
        policed.apply("shop/in", CLIENTS_IN)?;
        let server = policed.pod(0, "shop/server", SERVER)?;
        let other = policed.pod(0, "shop/other", OTHER)?;
        wait_closed(&other, &server)?;
        kill(&mut policed, 0)?;
        let client = policed.pod(0, "shop/client", CLIENT)?;
        assert_closed(&client, &server)?;
        assert_closed(&client, &other)?;
        assert_closed(&other, &client)?;
        let gone = policed.pod(0, "shop/gone", CLIENT)?;
        policed.end_pod(&gone)?;
        policed.start(0)?;
        wait_open(&client, &server)?;
        wait_open(&other, &client)?;
        assert_closed(&other, &server)?;
    }
    Ok(())
}

#[test]
fn pods_that_start_allowed_keep_what_is_allowed_when_the_agent_knows_them() -> Result<()> {
    let mut policed = cluster("direct", 1, "onAgentAway: allow")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    kill(&mut policed, 0)?;
    // Its policy is not known to anybody now.
    let server = policed.pod(0, "shop/server", SERVER)?;
    assert_open(&client, &server)?;
    assert_open(&other, &server)?;
    let to = server.service(Family::V4)?;
    let mut good = TcpTalk::open(&client.ns, to)?;
    let mut bad = TcpTalk::open(&other.ns, to)?;
    let mut out = TcpTalk::open(&server.ns, other.service(Family::V6)?)?;
    good.say()?;
    bad.say()?;
    policed.start(0)?;
    wait_closed(&other, &server)?;
    assert!(!bad.answered()?, "a flow that is not allowed goes on");
    good.say()?;
    // It was opened by the pod itself: what comes back is no news.
    out.say()?;
    assert_open(&client, &server)?;
    Ok(())
}

#[test]
fn bridged_pods_start_without_the_agent_as_routed_ones_do() -> Result<()> {
    for (away, open) in [("deny", false), ("allow", true)] {
        let mut policed = cluster("direct", 1, &format!("onAgentAway: {away}"))?;
        policed.apply("shop/in", CLIENTS_IN)?;
        let server = bridged(&policed, "shop/server", SERVER)?;
        kill(&mut policed, 0)?;
        let client = bridged(&policed, "shop/client", CLIENT)?;
        let other = bridged(&policed, "shop/other", OTHER)?;
        if open {
            assert_open(&client, &other)?;
        } else {
            assert_closed(&client, &other)?;
        }
        // Whom the agent knew before it knows still.
        assert_closed(&client, &server)?;
        policed.start(0)?;
        wait_open(&client, &server)?;
        wait_open(&other, &client)?;
        assert_closed(&other, &server)?;
    }
    Ok(())
}

#[test]
fn nothing_starts_before_an_agent_has_run_once() -> Result<()> {
    for away in ["deny", "allow"] {
        let net = net("direct", 1)?;
        let keys = "network: {mode: direct}";
        let mut policed = Policed::new(net, programs(), keys, &format!("onAgentAway: {away}"))?;
        policed.start(0)?;
        policed.agent(0)?.wait_ready()?;
        let conf = policed.plugin(0)?;
        kill(&mut policed, 0)?;
        // As after a reboot.
        std::fs::remove_dir_all(policed.bpf_folder(0).path())?;
        let told = failure(policed.start_pod(0, PodObject::new("shop/one", OTHER), conf))?;
        assert_eq!(told.code, 11);
        assert!(told.msg.contains("since the node was started"), "{told}");
    }
    Ok(())
}

#[test]
fn a_pod_is_detached_without_the_agent_and_forgotten_by_the_next() -> Result<()> {
    let mut policed = cluster("direct", 1, "onAgentAway: deny")?;
    let pod = policed.pod(0, "shop/one", OTHER)?;
    let notes = policed.cluster.path(0, "run/fairlead/attachments");
    let count = || Ok::<_, std::io::Error>(std::fs::read_dir(&notes)?.count());
    assert_eq!(count().context("a note of the pod")?, 1);
    kill(&mut policed, 0)?;
    policed.end_pod(&pod)?;
    assert_eq!(count()?, 0);
    policed.start(0)?;
    let agent = policed.agent(0)?;
    agent.wait_ready()?;
    agent.wait_metric("fairlead_policy_map_entries{map=\"endpoints\"}", 0)
}
