//! The plugin's program, which belongs to another crate.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The program: what `FAIRLEAD_CNI` names, else one that cargo builds beside this test.
pub(crate) fn program() -> &'static Path {
    PROGRAM.get_or_init(|| match std::env::var_os("FAIRLEAD_CNI") {
        Some(path) => path.into(),
        None => build().expect("the plugin cannot be built"),
    })
}

fn build() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // <target>/<profile>/deps/<test>
    let profile = test.ancestors().nth(2).context("no profile directory")?;
    let target = profile.parent().context("no target directory")?;
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", "fairlead-cni-plugin"])
        .args(["--bin", "fairlead-cni", "--profile", name, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    ensure!(status.success(), "cargo build: {status}");
    Ok(profile.join("fairlead-cni"))
}
