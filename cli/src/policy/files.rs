//! Pods, namespaces and policies out of files, as `kubectl get -o yaml` and `helm template` write them.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fairlead_kubeapi::{Fault, Item, Object, Shared};
use fairlead_netpol_model::cluster::{Cluster, Labels, Namespace};
use serde_json::{Value, json};

use crate::CliError;

/// In place of a file: standard input.
const STDIN: &str = "-";

/// The label that the API server gives every namespace: its name.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// What the files hold. Of several objects of one name the last counts.
#[derive(Debug, Default)]
pub(crate) struct Objects {
    /// Pods, and one for each workload that would make some; namespaces, also those that are only named; policies.
    pub(crate) cluster: Cluster,
    /// What in them means nothing.
    pub(crate) faults: Vec<Fault>,
    shared: Shared,
}

/// Reads files, folders with all below them, and `-`.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Objects, CliError> {
    let mut objects = Objects::default();
    for path in paths {
        if path.as_os_str() == STDIN {
            let mut text = String::new();
            let read = io::stdin().read_to_string(&mut text);
            read.map_err(|source| CliError::file("read", path, source))?;
            objects.document(path, &text)?;
        } else {
            objects.file_or_folder(path)?;
        }
    }
    objects.add_named_namespaces();
    Ok(objects)
}

impl Objects {
    fn file_or_folder(&mut self, path: &Path) -> Result<(), CliError> {
        let failed = |source| CliError::file("read", path, source);
        if !path.is_dir() {
            let text = fs::read_to_string(path).map_err(failed)?;
            return self.document(path, &text);
        }
        let entries = fs::read_dir(path).map_err(failed)?;
        let mut inside: Vec<PathBuf> = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        inside.sort();
        for path in inside
            .iter()
            .filter(|path| path.is_dir() || is_manifest(path))
        {
            self.file_or_folder(path)?;
        }
        Ok(())
    }

    fn document(&mut self, path: &Path, text: &str) -> Result<(), CliError> {
        let options = serde_saphyr::options! { with_snippet: false };
        let documents: Vec<Value> = serde_saphyr::from_multiple_with_options(text, options)
            .map_err(|source| CliError::Yaml {
                path: path.to_owned(),
                source: Box::new(source),
            })?;
        documents
            .into_iter()
            .try_for_each(|document| self.value(path, document))
    }

    fn value(&mut self, path: &Path, mut value: Value) -> Result<(), CliError> {
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        if let (true, Some(Value::Array(items))) = (
            kind.ends_with("List"),
            value.get_mut("items").map(Value::take),
        ) {
            let version = value["apiVersion"].clone();
            for mut item in items {
                // The API server leaves both out inside of a typed list.
                if item["kind"].is_null() && kind != "List" {
                    item["kind"] = kind.trim_end_matches("List").into();
                    item["apiVersion"] = version.clone();
                }
                self.value(path, item)?;
            }
            return Ok(());
        }
        let value = match kind.as_str() {
            "Pod" | "Namespace" | "NetworkPolicy" => value,
            _ => match pod_of_workload(&value) {
                Some(pod) => pod,
                None => return Ok(()),
            },
        };
        self.object(path, value)
    }

    fn object(&mut self, path: &Path, value: Value) -> Result<(), CliError> {
        let name = value["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let objects = serde_json::from_value(value)
            .map_err(|error| error.to_string())
            .and_then(|item: Item| item.into_objects().map_err(|error| error.to_string()));
        let objects = objects.map_err(|reason| CliError::Object {
            path: path.to_owned(),
            name,
            reason,
        })?;
        for object in objects {
            match object {
                Object::Pod(pod) => {
                    let (pod, faults) = pod.to_pod(&mut self.shared);
                    self.cluster.pods.insert(Arc::new(pod));
                    self.faults.extend(faults);
                }
                Object::Namespace(namespace) => {
                    let namespace = namespace.to_namespace(&mut self.shared);
                    self.cluster
                        .namespaces
                        .insert(namespace.name.clone(), namespace);
                }
                Object::NetworkPolicy(policy) => {
                    let (policy, faults) = policy.to_policy(&mut self.shared);
                    self.cluster
                        .policies
                        .insert(policy.name.clone(), Arc::new(policy));
                    self.faults.extend(faults);
                }
                Object::Node(_) => {}
            }
        }
        Ok(())
    }

    /// A namespace that has pods or policies exists, though no file says so: it has the label of its name.
    fn add_named_namespaces(&mut self) {
        let Cluster {
            pods,
            policies,
            namespaces,
        } = &mut self.cluster;
        for name in pods.iter().map(|pod| &pod.name).chain(policies.keys()) {
            let namespace = &name.namespace;
            namespaces.entry(namespace.clone()).or_insert_with(|| {
                let label = [(NAME_LABEL, &**namespace)];
                Namespace {
                    name: namespace.clone(),
                    labels: label.into_iter().collect::<Labels>(),
                }
            });
        }
    }
}

fn is_manifest(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    let extension = path.extension().and_then(|extension| extension.to_str());
    !hidden && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// The pod that a workload (Deployment and so on) makes, under the workload's name.
fn pod_of_workload(workload: &Value) -> Option<Value> {
    let spec = workload.get("spec")?;
    let template = spec
        .get("template")
        .or_else(|| spec.pointer("/jobTemplate/spec/template"))?;
    let inside = template
        .get("spec")
        .filter(|spec| spec.get("containers").is_some())?;
    let (own, given) = (&workload["metadata"], &template["metadata"]);
    Some(json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": own["name"],
            "namespace": own["namespace"],
            "labels": given["labels"],
            "annotations": given["annotations"],
        },
        "spec": inside,
    }))
}

#[cfg(test)]
mod tests {
    use fairlead_netpol_model::cluster::Name;

    use super::*;

    const CLUSTER: &str = "\
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {team: red}}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: shop}, status: {podIP: 10.244.1.5}}
---
# Nothing here.
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicyList
items:
- metadata: {name: deny, namespace: shop}
  spec: {podSelector: {}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: jobs}
spec:
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: report}}
        spec: {containers: [{name: a, image: b}]}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {ports: [{port: 80}]}}
";

    fn names<'a>(all: impl Iterator<Item = &'a Name>) -> Vec<String> {
        all.map(|name| format!("{}/{}", name.namespace, name.name))
            .collect()
    }

    #[test]
    fn lists_documents_and_workloads_are_read_and_other_kinds_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/a.yaml"), CLUSTER).unwrap();
        fs::write(dir.path().join("README.md"), "{").unwrap();
        fs::write(dir.path().join(".b.yaml"), "{").unwrap();
        let objects = read(&[dir.path().to_owned()]).unwrap();
        assert_eq!(
            names(objects.cluster.pods.iter().map(|pod| &pod.name)),
            ["jobs/report", "shop/web-0"]
        );
        assert_eq!(names(objects.cluster.policies.keys()), ["shop/deny"]);
        assert_eq!(objects.cluster.namespaces.len(), 2);
        let report = objects.cluster.pods.iter().next().unwrap();
        assert_eq!(
            report.labels.get("app").map(|value| &**value),
            Some("report")
        );
        let jobs = objects.cluster.namespaces.values().next().unwrap();
        assert_eq!(
            jobs.labels.get(NAME_LABEL).map(|value| &**value),
            Some("jobs")
        );
    }

    #[test]
    fn errors_name_file_object_and_what_is_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        let error = |text: &str| {
            fs::write(&path, text).unwrap();
            let error = read(std::slice::from_ref(&path)).unwrap_err().to_string();
            error.replace(&dir.path().display().to_string(), "")
        };
        assert_eq!(
            error("{apiVersion: v1, kind: Pod, metadata: {name: a, labels: 7}}"),
            "/a.yaml: a: Pod: invalid type: integer `7`, expected a map"
        );
        assert!(error("kind: [").starts_with("/a.yaml: "));
        fs::remove_file(&path).unwrap();
        assert_eq!(
            read(std::slice::from_ref(&path)).unwrap_err().to_string(),
            format!(
                "cannot read {}: No such file or directory (os error 2)",
                path.display()
            )
        );
    }
}
