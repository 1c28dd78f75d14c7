//! The node file as the roles find it: what the agent says about this node.

use std::io::ErrorKind;

use fairlead_cni_node::owned::NODE_FILE;
use fairlead_cni_node::{Mode, NodeFile};

use crate::call::Call;
use crate::error::{PluginError, Result};

/// Where the node file is: `nodeFile`, or the agent's own place.
pub(crate) fn path(call: &Call) -> Result<String> {
    let given = call.conf.fields().text("nodeFile")?;
    let given = given.filter(|path| !path.is_empty());
    Ok(given.unwrap_or(NODE_FILE).to_owned())
}

/// What the node file says; without one the node is not ready.
pub(crate) fn read(call: &Call) -> Result<NodeFile> {
    let path = path(call)?;
    let content = std::fs::read(&path);
    parse(content, path)
}

/// The cluster's mode, for roles that also serve hosts without an agent: none there. A file that is there
/// and cannot be used is an error, since it may ask for the guard.
pub(crate) fn mode(call: &Call) -> Result<Option<Mode>> {
    let path = path(call)?;
    match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        content => Ok(Some(parse(content, path)?.mode())),
    }
}

fn parse(content: std::io::Result<Vec<u8>>, path: String) -> Result<NodeFile> {
    let parsed = content
        .map_err(Into::into)
        .and_then(|content| Ok(NodeFile::parse(&content)?));
    parsed.map_err(
        |source: Box<dyn std::error::Error + Send + Sync>| PluginError::NodeFile {
            path: path.into(),
            source,
        },
    )
}
