//! csi-sanity, the specification's own tests, against the driver on real LVM.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fairlead_e2e_tests::storage::{Disks, Node, SOCKET, Setup};
use fairlead_e2e_vm::{Command, GIB};
use serde_json::Value;

const TOOL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.cache/bin/csi-sanity");
/// Small, so that zeroing thick volumes is no matter of the machine's speed.
const SIZE: u64 = 16 << 20;

/// Specs that do not apply, by their beginning, and why.
const SKIPPED: &[(&str, &str)] = &[
    (
        "Controller Service [Controller Server] ControllerPublishVolume",
        ATTACH,
    ),
    (
        "Controller Service [Controller Server] ControllerUnpublishVolume",
        ATTACH,
    ),
    (
        "Controller Service [Controller Server] volume lifecycle",
        ATTACH,
    ),
    (
        "Controller Service [Controller Server] ListVolumes pagination should detect volumes added",
        "csi-test marks it as pending for every driver",
    ),
    (
        "CreateSnapshot [Controller Server] should succeed when creating a snapshot with accessibility requirements",
        "csi-test compares messages with the sizes cached in them, which differ once one was sent",
    ),
];

const ATTACH: &str = "volumes are on their node already: nothing is attached";

/// How one spec ended.
struct Spec {
    name: String,
    state: String,
    message: String,
}

fn specs(report: &Path) -> Result<Vec<Spec>> {
    let text = std::fs::read(report).context("csi-sanity left no report")?;
    let suites: Value = serde_json::from_slice(&text)?;
    let all = suites.as_array().into_iter().flatten();
    let all = all.flat_map(|suite| suite["SpecReports"].as_array().into_iter().flatten());
    let its = all.filter(|spec| spec["LeafNodeType"] == "It");
    Ok(its
        .map(|spec| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let above = spec["ContainerHierarchyTexts"].as_array();
            let mut words: Vec<String> = above.into_iter().flatten().map(text).collect();
            words.push(text(&spec["LeafNodeText"]));
            Spec {
                name: words.join(" "),
                state: text(&spec["State"]),
                message: text(&spec["Failure"]["Message"]),
            }
        })
        .collect())
}

/// Runs all specs for volumes of one kind; what fails, or is skipped without reason, is told.
fn sanity(thin: bool, access: &str) -> Result<String> {
    let disks = Disks::new(&[4 * GIB])?;
    let node = Node::boot(&disks, &Setup::default())?;
    let parameters = node.vm.exchange().join("parameters.yaml");
    std::fs::write(parameters, format!("thin: \"{thin}\"\n"))?;
    // Limits of I/O are offered where pods have a cgroup with them.
    node.run("mkdir /sys/fs/cgroup/kubepods && echo 'writeIops: \"100000\"' >/xchg/mutable.yaml")?;
    let command = Command::new(
        Path::new(TOOL)
            .canonicalize()
            .context(TOOL)?
            .to_string_lossy(),
    )
    .args([
        "--csi.endpoint",
        SOCKET,
        "--csi.mountdir",
        "/run/sanity-target",
    ])
    .args(["--csi.stagingdir", "/run/sanity-staging"])
    .args(["--csi.testvolumeparameters", "/xchg/parameters.yaml"])
    .args(["--csi.testvolumemutableparameters", "/xchg/mutable.yaml"])
    .args(["--csi.testvolumeaccesstype", access])
    .args(["--csi.testvolumesize", &SIZE.to_string()])
    .args(["--csi.testvolumeexpandsize", &(2 * SIZE).to_string()])
    .args([
        "--ginkgo.json-report",
        "/xchg/report.json",
        "--ginkgo.no-color",
    ])
    .timeout(Duration::from_mins(10));
    let output = node.vm.output(&command)?;
    let specs = specs(&node.vm.exchange().join("report.json")).with_context(|| output.text())?;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for spec in &specs {
        *counts.entry(&spec.state).or_default() += 1;
        let known = SKIPPED.iter().any(|(name, _)| spec.name.starts_with(name));
        match spec.state.as_str() {
            "passed" => {}
            "skipped" | "pending" if known => {}
            state => wrong.push(format!("{state}: {}: {}", spec.name, spec.message)),
        }
    }
    for (name, _) in SKIPPED {
        let skips = |spec: &Spec| spec.name.starts_with(name) && spec.state != "passed";
        if !specs.iter().any(skips) {
            wrong.push(format!("nothing is skipped any more of {name}"));
        }
    }
    let summary = format!("thin {thin}, {access}: {counts:?}");
    if !wrong.is_empty() {
        let said = node.explain();
        bail!("{summary}\n{}\n{said}\n{}", wrong.join("\n"), output.text());
    }
    node.assert_sound()?;
    let left = node.lvs()?;
    if left.iter().any(|line| !line.starts_with("fairlead-pool")) {
        bail!("{summary}\nleft behind: {left:#?}");
    }
    Ok(summary)
}

#[expect(clippy::print_stdout, reason = "what passed and what does not apply")]
fn tell(results: [Result<String>; 2]) {
    for (name, why) in SKIPPED {
        println!("does not apply: {name}: {why}");
    }
    for result in results {
        println!("{}", result.unwrap());
    }
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn csi_sanity_passes_on_thin_volumes() {
    tell([sanity(true, "mount"), sanity(true, "block")]);
}

#[test]
#[ignore = "boots a virtual machine: run by make test's storage stage"]
fn csi_sanity_passes_on_thick_volumes() {
    tell([sanity(false, "mount"), sanity(false, "block")]);
}
