//! The command line, its error texts, and the pages.

use std::fs;
use std::process::{Command, Output};

use anyhow::Result;

use crate::harness::Cluster;

fn agent(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_fairlead-agent"))
        .args(arguments)
        .env_remove("NODE_NAME")
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .env("HOME", "/nonexistent")
        .output()?)
}

fn check(text: &str) -> Result<(bool, String, String)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agent.yaml");
    fs::write(&path, text)?;
    let output = agent(&["check-config", &path.display().to_string()])?;
    let clean = |bytes: Vec<u8>| {
        String::from_utf8_lossy(&bytes).replace(&format!("{}", path.display()), "FILE")
    };
    Ok((
        output.status.success(),
        clean(output.stdout),
        clean(output.stderr),
    ))
}

#[test]
fn check_config_says_ok_or_what_is_wrong_word_for_word() -> Result<()> {
    assert_eq!(
        check("network: {mtu: 1400}\n")?,
        (true, "FILE: ok\n".into(), String::new())
    );
    assert_eq!(
        check("masquerade:\n  randomfully: true\n")?,
        (
            false,
            String::new(),
            "fairlead-agent: FILE: configuration: unknown field `randomfully`, expected one of enabled, \
             randomFully, clusterCIDRs, nonMasqueradeCIDRs at line 2, column 3\n"
                .into()
        )
    );
    assert_eq!(
        check("network: {mtu: 100}\n")?.2,
        "fairlead-agent: FILE: network.mtu is 100, expected 0 (that of the uplink) or 1280 to 65535\n"
    );
    Ok(())
}

#[test]
fn a_missing_file_and_a_missing_name_are_told() -> Result<()> {
    let output = agent(&["run", "--config", "/nonexistent/agent.yaml"])?;
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "fairlead-agent: /nonexistent/agent.yaml: cannot read /nonexistent/agent.yaml: \
         No such file or directory (os error 2)\n"
    );
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("agent.yaml");
    fs::write(&path, "")?;
    let output = agent(&["run", "--config", &path.display().to_string()])?;
    assert!(!output.status.success());
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "fairlead-agent: node.name is empty and NODE_NAME is not set; set one of them to the name of \
         this node\n"
    );
    Ok(())
}

#[test]
fn a_taken_port_names_the_key_to_change() -> Result<()> {
    let (cluster, _first) = Cluster::with_agent(1, "")?;
    let second = cluster.agent(0, "")?;
    second.wait("the second ends", || {
        Ok(second.log().contains(
            "fairlead-agent: cannot listen on 127.0.0.1:9475 for health: Address already in use \
             (os error 98); set health.listen to a free address",
        ))
    })
}

#[test]
fn pages_answer_as_documented() -> Result<()> {
    let (_cluster, agent) = Cluster::with_agent(1, "")?;
    assert_eq!(agent.get(9475, "/healthz")?, (200, "ok\n".to_owned()));
    assert_eq!(
        agent.get(9475, "/readyz")?,
        (
            200,
            "ready\n[+] cluster state known\n[+] routes programmed\n[+] node file published\n\
             [+] plugin and configuration installed\n[+] policies enforced\n"
                .to_owned()
        )
    );
    assert_eq!(
        agent.get(9475, "/metrics")?,
        (404, "no such page\n".to_owned())
    );
    assert_eq!(agent.get(9476, "/healthz")?.0, 404);
    let metrics = agent.metrics()?;
    assert!(
        metrics.contains("fairlead_build_info{version=\"0.1.0\"} 1"),
        "{metrics}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    Ok(())
}

#[test]
fn json_logs_are_one_object_a_line() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let agent = cluster.agent_with(0, "log: {format: json}")?;
    agent.wait_ready()?;
    for line in agent.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line)?;
        assert!(
            line["level"].is_string() && line["message"].is_string(),
            "{line}"
        );
    }
    Ok(())
}
