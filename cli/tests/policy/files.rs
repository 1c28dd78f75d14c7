//! `policy explain` from files.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{fairlead, told};

const SHOP: &str = "\
{apiVersion: v1, kind: Pod, metadata: {name: cart-1, namespace: shop, labels: {app: cart}}, status: {podIP: 10.244.1.5}}
---
{apiVersion: v1, kind: Pod, metadata: {name: till-1, namespace: shop, labels: {app: till}}, status: {podIP: 10.244.1.6}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  ingress:
  - from: [{podSelector: {matchLabels: {app: cart}}}]
    ports: [{port: http}]
";

fn explain(arguments: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.yaml");
    fs::write(&file, SHOP).unwrap();
    let path = file.to_str().unwrap();
    fairlead(&[&["policy", "explain", "-n", "shop", "-f", path], arguments].concat())
}

#[test]
fn the_exit_code_says_whether_a_packet_passes_and_the_text_which_rule_decides() {
    let (code, text, errors) = explain(&["cart-1", "web:8080/tcp"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(
        text,
        "pod shop/cart-1 (10.244.1.5) to pod shop/web (0.0.0.0), TCP port 8080: allowed\n\
         egress: allowed, no policy isolates shop/cart-1\n\
         ingress: allowed\n  shop/web: rule 0 allows it\n\
         shop/web has no address in the files: a rule with an ipBlock may say otherwise of it\n"
    );
    let (code, text, errors) = explain(&["till-1", "shop/web:8080"]);
    assert_eq!((code, errors.as_str()), (1, ""));
    assert!(
        text.contains(
            "ingress: denied, shop/web is isolated and no rule allows it\n  \
             shop/web: rule 0 has this port, not this peer\n"
        ),
        "{text}"
    );
    assert_eq!(
        explain(&["10.244.1.5", "web:8080"]).0,
        0,
        "an address is the pod that has it"
    );
    assert_eq!(
        explain(&["node", "web:9090"]).0,
        0,
        "a node reaches its pods"
    );
    assert_eq!(
        explain(&["cart-1", "web:icmp"]).0,
        1,
        "a rule with ports allows no ping"
    );
}

#[test]
fn programs_get_json() {
    let (code, text, _) = explain(&["till-1", "web:8080", "-o", "json"]);
    assert_eq!(code, 1);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["allowed"], false);
    assert_eq!(answer["data"]["ingress"]["outcome"], "denied");
    assert_eq!(
        answer["data"]["ingress"]["policies"][0]["policy"],
        "shop/web"
    );
    assert!(
        answer["text"]
            .as_str()
            .unwrap()
            .starts_with("pod shop/till-1")
    );
}

#[test]
fn what_cannot_be_told_is_an_error_with_a_code_of_its_own() {
    assert_eq!(
        explain(&["cart-2", "web:8080"]),
        (
            2,
            String::new(),
            "fairlead: no pod shop/cart-2 is known, of 3 in all\n".to_owned()
        )
    );
    assert_eq!(explain(&["cart-1", "web"]).0, 2);
    let (code, _, errors) = fairlead(&["policy", "explain", "-f", "/nonexistent", "a", "b:80"]);
    assert_eq!(
        (code, errors.as_str()),
        (
            2,
            "fairlead: cannot read /nonexistent: No such file or directory (os error 2)\n"
        )
    );
}

#[test]
fn manifests_come_by_standard_input_and_what_means_nothing_is_told() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fairlead"))
        .args([
            "policy", "explain", "-n", "shop", "-f", "-", "cart-1", "web:8080",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let text = SHOP.replace("{port: http}", "{port: http}, {port: 70000}");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let (code, _, errors) = told(child.wait_with_output().unwrap());
    assert_eq!(code, 0);
    assert!(
        errors.starts_with("fairlead: network policy shop/web: spec.ingress[0].ports[1]"),
        "{errors}"
    );
}
