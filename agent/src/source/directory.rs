//! Cluster state from a folder of Kubernetes objects in YAML or JSON, for hosts without an API server.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fairlead_kubeapi::{Node, Object};
use tokio::task::block_in_place;

use super::files::Files;
use super::{Sink, publish};
use crate::cluster::Nodes;
use crate::conditions::{Board, Condition, Finder};
use crate::error::AgentError;
use crate::files::FolderWatch;
use crate::metrics::Metrics;

/// The nodes of each file.
#[derive(Debug, Default)]
struct Folder {
    files: Files<Vec<Node>>,
}

/// Reads the folder at start, on every change and every `period`; never returns.
///
/// # Errors
///
/// [`AgentError::File`] when the folder cannot be watched at all.
pub async fn run(
    folder: &Path,
    annotation: Option<&str>,
    period: Duration,
    sink: &Sink,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
) -> Result<(), AgentError> {
    let mut watch = FolderWatch::new(vec![folder.to_owned()])?;
    let mut state = Folder::default();
    let up = metrics
        .watch_up
        .get_or_create(&[("source", "directory")])
        .clone();
    loop {
        let (nodes, errors) = block_in_place(|| state.read(folder, annotation));
        up.set(i64::from(nodes.is_some()));
        for error in &errors {
            metrics.error(error.kind());
        }
        board.replace(Finder::Source, errors.iter().map(condition));
        if let Some(nodes) = nodes {
            publish(sink, &nodes);
        }
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep(period) => watch.rearm(),
        }
    }
}

fn condition(error: &AgentError) -> Condition {
    match error {
        AgentError::File { action: "list", .. } => Condition::StateAway {
            text: error.to_string(),
        },
        _ => Condition::BadNode {
            text: error.to_string(),
        },
    }
}

impl Folder {
    /// All nodes of all files; `None` when the folder itself cannot be listed.
    fn read(
        &mut self,
        folder: &Path,
        annotation: Option<&str>,
    ) -> (Option<Nodes>, Vec<AgentError>) {
        let take = |path: &Path, objects| nodes(path, objects, annotation);
        let looked = match self.files.read(folder, SystemTime::now(), take) {
            Ok(looked) => looked,
            Err(error) => return (None, vec![error]),
        };
        let mut nodes = Nodes::new();
        for node in self.files.values().flatten() {
            // The first file in the order of names wins.
            nodes
                .entry(node.name.clone())
                .or_insert_with(|| node.clone());
        }
        (Some(nodes), looked.errors)
    }
}

fn nodes(
    path: &Path,
    objects: Vec<Object>,
    annotation: Option<&str>,
) -> Result<Vec<Node>, AgentError> {
    let nodes = objects.into_iter().filter_map(|object| match object {
        Object::Node(node) => Some(Node::from_object(&node, annotation)),
        _ => None,
    });
    let nodes = nodes.collect::<Result<_, _>>();
    nodes.map_err(|source| AgentError::Node {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const N1: &str =
        "apiVersion: v1\nkind: Node\nmetadata: {name: n1}\nspec: {podCIDRs: [10.244.1.0/24]}\n";
    const N2: &str = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n2"}}"#;

    #[test]
    fn yaml_and_json_files_with_one_or_many_nodes_are_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("a.yaml"),
            format!("{N1}---\n{}", N1.replace("n1", "n3")),
        )
        .unwrap();
        fs::write(dir.path().join("b.json"), N2).unwrap();
        fs::write(dir.path().join(".hidden.yaml"), "x").unwrap();
        fs::write(dir.path().join("README"), "x").unwrap();
        let (nodes, errors) = Folder::default().read(dir.path(), None);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(
            nodes.unwrap().keys().collect::<Vec<_>>(),
            ["n1", "n2", "n3"]
        );
    }

    #[test]
    fn a_broken_file_keeps_what_it_held_and_a_removed_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.yaml"), dir.path().join("b.yaml"));
        fs::write(&a, N1).unwrap();
        fs::write(&b, N2).unwrap();
        let mut folder = Folder::default();
        folder.read(dir.path(), None);

        fs::write(&a, "kind: [").unwrap();
        fs::remove_file(&b).unwrap();
        let (nodes, errors) = folder.read(dir.path(), None);
        assert_eq!(nodes.unwrap().keys().collect::<Vec<_>>(), ["n1"]);
        let text = errors[0].to_string();
        assert!(text.starts_with(&format!("{}: ", a.display())), "{text}");
    }

    #[test]
    fn errors_name_file_and_value() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.yaml");
        fs::write(&path, N1.replace("10.244.1.0/24", "10.244.1.1/24")).unwrap();
        let (_, errors) = Folder::default().read(dir.path(), None);
        assert_eq!(
            errors[0].to_string(),
            format!(
                "{}: node n1: pod range 10.244.1.1/24 has host bits set",
                path.display()
            )
        );
    }

    #[test]
    fn a_missing_folder_says_so_and_changes_nothing() {
        let (nodes, errors) = Folder::default().read(Path::new("/nonexistent/nodes"), None);
        assert!(nodes.is_none());
        assert_eq!(
            condition(&errors[0]).to_string(),
            "cluster state is not being updated (cannot list /nonexistent/nodes: No such file or \
             directory (os error 2)); working from what was last known"
        );
    }
}
