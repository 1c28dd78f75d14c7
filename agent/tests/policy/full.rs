//! Maps without room for what is wanted: what is missing denies, is told, and comes when there is room.

use anyhow::Result;

use crate::stage::{
    CLIENT, CLIENTS_IN, OTHER, SERVER, assert_closed, assert_open, cluster, wait_closed, wait_open,
};

/// Lets eight blocks in to servers, of which no two make one.
const BLOCKS_IN: &str = "{podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress], ingress: [{from: [\
     {ipBlock: {cidr: 198.18.1.0/24}}, {ipBlock: {cidr: 198.18.3.0/24}}, {ipBlock: {cidr: 198.18.5.0/24}}, \
     {ipBlock: {cidr: 198.18.7.0/24}}, {ipBlock: {cidr: 198.18.9.0/24}}, {ipBlock: {cidr: 198.18.11.0/24}}, \
     {ipBlock: {cidr: 198.18.13.0/24}}, {ipBlock: {cidr: 198.18.15.0/24}}]}]}";

fn entries(map: &str) -> String {
    format!("fairlead_policy_map_entries{{map=\"{map}\"}}")
}

#[test]
fn a_pod_for_which_there_is_no_room_does_not_start_until_there_is() -> Result<()> {
    let policed = cluster("direct", 1, "maps: {endpoints: 2}")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let agent = policed.agent(0)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    agent.wait_metric(&entries("endpoints"), 2)?;
    let refused = policed.pod(0, "shop/other", OTHER).err();
    let refused = format!("{:#}", refused.expect("a pod that does not fit"));
    let text = "the policy map endpoints is full with 2 entries and lacks 1: what they would allow is denied; set \
         policy.maps.endpoints to 4 or more and restart the agent (code 11)";
    assert!(refused.contains(text), "{refused}");
    // Those that run notice nothing of it.
    wait_open(&client, &server)?;
    agent.wait_no_condition("PolicyMapFull")?;
    policed.end_pod(&client)?;
    agent.wait_metric(&entries("endpoints"), 1)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    assert_closed(&other, &server)
}

#[test]
fn pods_whose_rules_do_not_fit_are_denied_until_they_do() -> Result<()> {
    let policed = cluster("direct", 1, "maps: {prefixes: 4}")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let agent = policed.agent(0)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    wait_open(&client, &server)?;
    policed.apply("shop/blocks", BLOCKS_IN)?;
    agent.wait_condition(
        "PolicyMapFull: the policy map prefixes is full with 4 entries and lacks ",
    )?;
    agent.wait_metric(&entries("prefixes"), 4)?;
    agent.wait_metric("fairlead_conditions{condition=\"PolicyMapFull\"}", 1)?;
    wait_closed(&client, &server)?;
    assert_open(&client, &other)?;
    // One that starts now is denied in that direction as well.
    let second = policed.pod(0, "shop/second", SERVER)?;
    assert_closed(&client, &second)?;
    assert_open(&second, &other)?;
    policed.withdraw("shop/blocks")?;
    wait_open(&client, &server)?;
    wait_open(&client, &second)?;
    agent.wait_no_condition("PolicyMapFull")?;
    assert_closed(&other, &server)
}

#[test]
fn a_pod_whose_addresses_do_not_fit_is_nobody_until_they_do() -> Result<()> {
    let policed = cluster("direct", 1, "maps: {addresses: 4}")?;
    policed.apply("shop/in", CLIENTS_IN)?;
    let agent = policed.agent(0)?;
    let server = policed.pod(0, "shop/server", SERVER)?;
    let other = policed.pod(0, "shop/other", OTHER)?;
    agent.wait_metric(&entries("addresses"), 4)?;
    let client = policed.pod(0, "shop/client", CLIENT)?;
    agent.wait_condition(
        "PolicyMapFull: the policy map addresses is full with 4 entries and lacks ",
    )?;
    assert_closed(&client, &server)?;
    policed.end_pod(&other)?;
    wait_open(&client, &server)?;
    agent.wait_no_condition("PolicyMapFull")
}
