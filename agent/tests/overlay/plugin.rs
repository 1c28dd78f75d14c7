//! The plugin's program, which belongs to another crate.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The program: what `FAIRLEAD_CNI` names, else one that cargo builds beside this test.
pub(crate) fn program() -> &'static Path {
    PROGRAM.get_or_init(|| match std::env::var_os("FAIRLEAD_CNI") {
        Some(path) => path.into(),
        None => fairlead_e2e_lab::program("fairlead-cni-plugin", "fairlead-cni")
            .expect("the plugin cannot be built"),
    })
}
