//! Where the times come from. All members of the cluster have the machine's clock; times are seconds since 1970.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kubectl;
use crate::node::NodeFolder;
use crate::plan::{Cluster, Member};

use super::NAMESPACE;

/// Where the runtime's library of CNI keeps the result of each ADD. It writes a file as soon as the last plugin has
/// ended, and removes it with DEL.
const RESULTS: &str = "/var/lib/cni/results";
/// Where the runtime writes what containers say.
const LOGS: &str = "/var/log/pods";

pub(super) fn now() -> f64 {
    seconds(SystemTime::now())
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

/// When ADD returned for each pod on a node: when its result was written, by the kernel's clock of files, which lags
/// up to a tick (4 ms) behind.
pub(super) fn added(cluster: &Cluster, node: Member) -> Result<BTreeMap<String, f64>> {
    let home = cluster.folder(node);
    let folder = NodeFolder(&home).own(RESULTS);
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&folder)
        .with_context(|| format!("list the results in {}", folder.display()))?
    {
        let path = entry?.path();
        match fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(pod) = pod_of_result(&text) {
                    all.insert(pod, seconds(fs::metadata(&path)?.modified()?));
                }
            }
            // A pod of another namespace that ended.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("read the result of an ADD"),
        }
    }
    Ok(all)
}

/// The pod of ours that a result is about. A pod's loopback has one too.
fn pod_of_result(text: &str) -> Option<String> {
    let result: Value = serde_json::from_str(text).ok()?;
    let arg = |key: &str| {
        let args = result["cniArgs"].as_array().into_iter().flatten();
        args.filter(|pair| pair[0] == key)
            .find_map(|pair| pair[1].as_str())
    };
    let ours = result["ifName"] == "eth0" && arg("K8S_POD_NAMESPACE") == Some(NAMESPACE);
    ours.then(|| arg("K8S_POD_NAME").map(str::to_owned))?
}

/// What a pod has said of itself.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Spoken {
    /// Right before its first packet.
    pub(super) sent: Option<f64>,
    /// At the first answer.
    pub(super) answered: Option<f64>,
}

/// What the pods of a node have said, out of the files that the runtime writes.
pub(super) fn spoken(cluster: &Cluster, node: Member) -> Result<BTreeMap<String, Spoken>> {
    let home = cluster.folder(node);
    let folder = NodeFolder(&home).own(LOGS);
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // <namespace>_<pod>_<uid>
        let mut parts = name.split('_');
        let (Some(NAMESPACE), Some(pod)) = (parts.next(), parts.next()) else {
            continue;
        };
        // Not there before the container runs.
        if let Ok(log) = fs::read_to_string(entry.path().join("sender/0.log")) {
            all.insert(pod.to_owned(), parse(&log));
        }
    }
    Ok(all)
}

/// Lines look like `2026-01-01T00:00:00.123456789Z stdout F sent 1767225600.123456`.
fn parse(log: &str) -> Spoken {
    let time = |what: &str| {
        log.lines()
            .filter_map(|line| line.split(' ').skip(3).collect::<Vec<_>>().try_into().ok())
            .find_map(|[word, time]: [&str; 2]| (word == what).then(|| time.parse().ok()).flatten())
    };
    Spoken {
        sent: time("sent"),
        answered: time("answered"),
    }
}

/// A watch for pods' addresses; it ends when dropped.
#[derive(Debug)]
pub(super) struct Watch {
    kubectl: Child,
    /// When each pod's address was first seen.
    known: Arc<Mutex<BTreeMap<String, f64>>>,
}

impl Watch {
    pub(super) fn start(cluster: &Cluster) -> Result<Self> {
        let line = r#"jsonpath={.metadata.name} {.status.podIP}{"\n"}"#;
        let mut kubectl = kubectl::command(cluster)
            .args(["-n", NAMESPACE, "get", "pods", "--watch", "-o", line])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("run kubectl")?;
        let output = kubectl.stdout.take().context("no output of kubectl")?;
        let known = Arc::default();
        let seen = Arc::clone(&known);
        thread::spawn(move || follow(output, &seen));
        Ok(Self { kubectl, known })
    }

    /// The pods whose address the API server has told, and since when.
    pub(super) fn known(&self) -> Result<BTreeMap<String, f64>> {
        ensure!(
            // The thread holds the other one until kubectl ends.
            Arc::strong_count(&self.known) > 1,
            "the watch for pods ended"
        );
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

fn follow(output: impl Read, known: &Arc<Mutex<BTreeMap<String, f64>>>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let time = now();
        if let Some((pod, address)) = line.split_once(' ')
            && !address.is_empty()
        {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(pod.to_owned()).or_insert(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_has_said_what_its_whole_lines_say() {
        let log = "2026-01-01T00:00:00.1Z stdout F sent 1767225600.125\n\
                   2026-01-01T00:00:00.2Z stdout F answered 1767225601.25\n";
        let wanted = Spoken {
            sent: Some(1_767_225_600.125),
            answered: Some(1_767_225_601.25),
        };
        assert_eq!(parse(log), wanted);
        assert_eq!(parse("2026-01-01T00:00:00.1Z stdout F"), Spoken::default());
    }

    #[test]
    fn a_result_is_that_of_a_pod_of_ours_on_its_eth0() {
        let result = |interface: &str, namespace: &str| {
            let args = [
                ["K8S_POD_NAMESPACE", namespace],
                ["K8S_POD_NAME", "labelled-0"],
            ];
            json!({"ifName": interface, "cniArgs": args}).to_string()
        };
        let ours = Some("labelled-0".to_owned());
        assert_eq!(pod_of_result(&result("eth0", NAMESPACE)), ours);
        assert_eq!(pod_of_result(&result("lo", NAMESPACE)), None);
        assert_eq!(pod_of_result(&result("eth0", "default")), None);
        assert_eq!(pod_of_result("{"), None);
    }

    #[test]
    fn an_address_is_known_from_its_first_event() {
        let known = Arc::default();
        follow(&b"a \nb 10.0.0.1\na 10.0.0.2\n"[..], &known);
        let known = known.lock().unwrap();
        assert_eq!(known.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert!(known["b"] <= known["a"]);
    }
}
