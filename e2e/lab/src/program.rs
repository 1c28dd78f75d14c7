//! Our programs, which belong to other crates than the tests that run them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The program `name` of `package`, built beside the running test.
///
/// # Errors
/// When it cannot be built.
pub fn program(package: &str, name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // <target>/<profile>/deps/<test>
    let profile = test.ancestors().nth(2).context("no profile directory")?;
    let target = profile.parent().context("no target directory")?;
    let directory = profile.file_name().and_then(|name| name.to_str());
    let profile_name = match directory {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--package", package, "--bin", name])
        .args(["--profile", profile_name, "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    ensure!(status.success(), "cargo build of {name}: {status}");
    Ok(profile.join(name))
}
