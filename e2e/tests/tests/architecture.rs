//! The house, checked: which crate may depend on which, what a pure crate may not pull in, and the
//! limits on file and entry-point length. ARCHITECTURE.md draws the same picture.

#![expect(
    clippy::unwrap_used,
    reason = "a workspace that cannot be read fails the test"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a crate is allowed to do to the world; an arrow may point only to a lower or equal layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// No IO at all.
    Pure,
    /// One noun of IO.
    Io,
    /// Programs.
    Shell,
    /// Test and bench code: may use anything.
    EndToEnd,
}

/// Every crate of the workspace: its layer and the workspace crates it may depend on.
const HOUSE: &[(&str, Layer, &[&str])] = &[
    ("fairlead-cni-spec", Layer::Pure, &[]),
    ("fairlead-cni-node", Layer::Pure, &[]),
    ("fairlead-netpol-model", Layer::Pure, &[]),
    ("fairlead-kubeapi", Layer::Pure, &["fairlead-netpol-model"]),
    ("fairlead-cni-overlay", Layer::Pure, &[]),
    ("fairlead-cni-netlink", Layer::Io, &[]),
    ("fairlead-ipam", Layer::Io, &["fairlead-cni-spec"]),
    (
        "fairlead-netpol-datapath",
        Layer::Io,
        &[
            "fairlead-cni-netlink",
            "fairlead-cni-node",
            "fairlead-netpol-model",
        ],
    ),
    (
        "fairlead-cni-plugin",
        Layer::Shell,
        &[
            "fairlead-cni-netlink",
            "fairlead-cni-node",
            "fairlead-cni-spec",
            "fairlead-ipam",
        ],
    ),
    ("fairlead-csi-spec", Layer::Io, &[]),
    ("fairlead-csi-volume", Layer::Pure, &[]),
    ("fairlead-csi-lvm", Layer::Io, &["fairlead-csi-volume"]),
    ("fairlead-csi-mount", Layer::Io, &["fairlead-csi-volume"]),
    (
        "fairlead-csi-driver",
        Layer::Shell,
        &[
            "fairlead-csi-lvm",
            "fairlead-csi-mount",
            "fairlead-csi-spec",
            "fairlead-csi-volume",
        ],
    ),
    (
        "fairlead-agent",
        Layer::Shell,
        &[
            "fairlead-cni-netlink",
            "fairlead-cni-node",
            "fairlead-cni-overlay",
            "fairlead-cni-spec",
            "fairlead-ipam",
            "fairlead-kubeapi",
            "fairlead-netpol-datapath",
            "fairlead-netpol-model",
        ],
    ),
    (
        "fairlead-cli",
        Layer::Shell,
        &[
            "fairlead-cni-netlink",
            "fairlead-cni-node",
            "fairlead-cni-spec",
            "fairlead-csi-lvm",
            "fairlead-csi-mount",
            "fairlead-csi-volume",
            "fairlead-ipam",
            "fairlead-kubeapi",
            "fairlead-netpol-model",
        ],
    ),
    ("fairlead-e2e-lab", Layer::EndToEnd, &[]),
    ("fairlead-e2e-cluster", Layer::EndToEnd, &[]),
    ("fairlead-e2e-image", Layer::EndToEnd, &[]),
    ("fairlead-e2e-vm", Layer::EndToEnd, &[]),
    ("fairlead-e2e-tests", Layer::EndToEnd, &[]),
    ("fairlead-e2e-benches", Layer::EndToEnd, &[]),
];

/// Crates that do IO or bring a runtime: a pure crate has none of them. `kubeapi` is the one crate
/// that may name the Kubernetes types, which live in `kube` and `k8s-openapi`.
const NOT_IN_A_PURE_CRATE: &[&str] = &[
    "aya",
    "hyper",
    "k8s-openapi",
    "kube",
    "libc",
    "netlink-sys",
    "nix",
    "tokio",
    "tonic",
];

/// The only crate that may know the Kubernetes object definitions.
const KUBERNETES_TYPES: &str = "fairlead-kubeapi";

struct Package {
    name: String,
    directory: PathBuf,
    dependencies: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_path_buf()
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            directory: Path::new(&text(&package["manifest_path"]))
                .parent()
                .unwrap()
                .into(),
            dependencies: package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|dependency| dependency["kind"] != "dev")
                .map(|dependency| text(&dependency["name"]))
                .collect(),
        })
        .collect()
}

#[test]
fn every_crate_is_in_the_house_and_is_named_after_its_path() {
    let root = root();
    let packages = packages();
    for package in &packages {
        assert!(
            HOUSE.iter().any(|(name, ..)| *name == package.name),
            "{} is not in the picture: add it to HOUSE and to ARCHITECTURE.md",
            package.name
        );
        let path = package
            .directory
            .strip_prefix(&root)
            .unwrap()
            .to_str()
            .unwrap();
        assert_eq!(package.name, format!("fairlead-{}", path.replace('/', "-")));
    }
    assert_eq!(
        packages.len(),
        HOUSE.len(),
        "HOUSE names a crate that does not exist"
    );
}

#[test]
fn arrows_point_only_where_the_picture_says() {
    let house: BTreeMap<_, _> = HOUSE
        .iter()
        .map(|(name, layer, to)| (*name, (*layer, *to)))
        .collect();
    for package in packages() {
        let (layer, allowed) = house[package.name.as_str()];
        if layer == Layer::EndToEnd {
            continue;
        }
        for to in package
            .dependencies
            .iter()
            .filter(|name| name.starts_with("fairlead-"))
        {
            assert!(
                allowed.contains(&to.as_str()),
                "{} must not depend on {to}",
                package.name
            );
            assert!(
                house[to.as_str()].0 <= layer,
                "{} points up at {to}",
                package.name
            );
        }
    }
}

#[test]
fn pure_crates_bring_no_io_and_one_crate_knows_kubernetes() {
    for package in packages() {
        let (_, layer, _) = HOUSE
            .iter()
            .find(|(name, ..)| *name == package.name)
            .unwrap();
        let kubernetes = |name: &str| matches!(name, "kube" | "k8s-openapi");
        for dependency in &package.dependencies {
            let excepted = package.name == KUBERNETES_TYPES && kubernetes(dependency);
            assert!(
                *layer != Layer::Pure
                    || excepted
                    || !NOT_IN_A_PURE_CRATE.contains(&dependency.as_str()),
                "{} is pure and must not depend on {dependency}",
                package.name
            );
            assert!(
                dependency != "k8s-openapi" || package.name == KUBERNETES_TYPES,
                "{} must take Kubernetes types from {KUBERNETES_TYPES}",
                package.name
            );
        }
    }
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn files_stay_short_and_say_what_they_hold() {
    for package in packages() {
        let mut files = Vec::new();
        rust_files(&package.directory, &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let lines = text.lines().count();
            let limit = if file.ends_with("src/main.rs") {
                30
            } else {
                600
            };
            assert!(
                lines <= limit,
                "{} has {lines} lines, over {limit}",
                file.display()
            );
            // A file of tests is named after what it tests.
            let tests =
                file.ends_with("tests.rs") || file.starts_with(package.directory.join("tests"));
            assert!(
                tests || text.starts_with("//!"),
                "{} does not begin by saying what it holds",
                file.display()
            );
        }
    }
}
