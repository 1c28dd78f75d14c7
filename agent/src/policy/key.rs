//! The node's secret, with which ids of policy sets and classes are made: nobody who writes policies can foresee them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use fairlead_cni_node::owned::POLICY_KEY;

use crate::files;

/// The secret of this node, in a file beside the socket: a node that boots has another one, and other maps. Where
/// there is none it is made; without a file it holds for this run only, and the next one writes all maps anew.
#[must_use]
pub(super) fn of_node(run_dir: &Path) -> [u8; 32] {
    let path = run_dir.join(POLICY_KEY);
    if let Some(key) = std::fs::read(&path)
        .ok()
        .and_then(|key| key.try_into().ok())
    {
        return key;
    }
    let mut key = [0; 32];
    let read = File::open("/dev/urandom").and_then(|mut from| from.read_exact(&mut key));
    if let Err(error) = read {
        tracing::warn!("cannot read /dev/urandom: {error}");
    }
    if let Err(error) = files::ensure(&path, &key, 0o600) {
        tracing::warn!("{error}");
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let first = of_node(dir.path());
        assert_eq!(of_node(dir.path()), first);
        assert_ne!(first, [0; 32]);
        std::fs::write(dir.path().join(POLICY_KEY), "short").unwrap();
        assert_ne!(of_node(dir.path()), first);
    }
}
