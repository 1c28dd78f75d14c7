//! The `PersistentVolume` that hands an adopted volume to a cluster.

use std::fmt::Write;

use fairlead_csi_volume::{Fs, VolumeId, topology};

/// The driver's name; it stands in persistent volumes for ever.
pub const DRIVER: &str = "lvm.fairlead.io";

/// The longest name that the driver's tags keep; Kubernetes would take 253 characters.
const LONGEST: usize = 128;

/// What stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersistentVolume<'a> {
    /// Its name.
    pub name: &'a str,
    /// The volume.
    pub id: VolumeId,
    /// Bytes.
    pub size: u64,
    /// The file system; `None` for a block volume.
    pub fs: Option<Fs>,
    /// The node that has it.
    pub node: &'a str,
    /// Its class of storage, empty for none.
    pub class: &'a str,
    /// Namespace and name of the only claim that may have it.
    pub claim: Option<(&'a str, &'a str)>,
}

impl PersistentVolume<'_> {
    /// YAML to apply. It keeps the volume when its claim goes: what was adopted is deleted by hand, or after
    /// the reclaim policy was changed.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut yaml = format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata:\n  name: {}\n  annotations:\n    \
             pv.kubernetes.io/provisioned-by: {DRIVER}\nspec:\n  accessModes:\n  - ReadWriteOnce\n  capacity:\n    \
             storage: \"{}\"\n  volumeMode: {}\n  persistentVolumeReclaimPolicy: Retain\n  storageClassName: {}\n",
            quoted(self.name),
            self.size,
            if self.fs.is_some() {
                "Filesystem"
            } else {
                "Block"
            },
            quoted(self.class),
        );
        // Writing to a string does not fail.
        if let Some((namespace, name)) = self.claim {
            let _ = write!(
                yaml,
                "  claimRef:\n    namespace: {}\n    name: {}\n",
                quoted(namespace),
                quoted(name)
            );
        }
        let _ = write!(
            yaml,
            "  csi:\n    driver: {DRIVER}\n    volumeHandle: {}\n",
            quoted(&self.id.to_string())
        );
        if let Some(fs) = self.fs {
            let _ = writeln!(yaml, "    fsType: {fs}");
        }
        let _ = write!(
            yaml,
            "  nodeAffinity:\n    required:\n      nodeSelectorTerms:\n      - matchExpressions:\n        - key: {}\n          \
             operator: In\n          values:\n          - {}\n",
            topology::KEY,
            quoted(self.node)
        );
        yaml
    }
}

/// JSON's strings are YAML's too, whatever is in them.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name for a `PersistentVolume` out of any text: what a label of DNS cannot have becomes `-` (RFC 1123).
#[must_use]
pub fn name_from(text: &str) -> String {
    let clean = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let name: String = "adopted-"
        .chars()
        .chain(text.chars().map(clean))
        .take(LONGEST)
        .collect();
    name.trim_end_matches('-').to_owned()
}

/// Whether a `PersistentVolume` can have the name (RFC 1123 subdomain).
#[must_use]
pub fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        let ends =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ends(label.chars().next()) && ends(label.chars().next_back()) && label.chars().all(inner)
    };
    text.len() <= LONGEST && text.split('.').all(label)
}
