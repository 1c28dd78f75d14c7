//! Calls of the plugin as a container runtime makes them.

use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use fairlead_cni_node::owned::PLUGIN_ROLES;
use serde_json::Value;

use crate::namespace::Namespace;

/// Names of other plugins that ours takes the place of.
const ALIASES: [&str; 3] = ["bridge", "host-local", "loopback"];

/// The error object that a plugin printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its code.
    pub code: u64,
    /// What failed.
    pub msg: String,
    /// Why.
    pub details: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {}): {}", self.msg, self.code, self.details)
    }
}

impl std::error::Error for Failure {}

/// Every name by which our plugin can be called.
pub fn plugin_names() -> impl Iterator<Item = &'static str> {
    PLUGIN_ROLES.into_iter().chain(ALIASES)
}

/// Makes the folder `bin` with a link to `program` by each of its names.
pub fn link_plugin(program: &Path, bin: &Path) -> Result<()> {
    std::fs::create_dir(bin)?;
    for name in plugin_names() {
        std::os::unix::fs::symlink(program, bin.join(name))?;
    }
    Ok(())
}

/// A call of the plugin `name` in the folder `bin`, in `ns`, ready for [`run_plugin`].
pub fn plugin_call(
    ns: &Namespace,
    bin: &Path,
    name: &str,
    command: &str,
    env: &[(&str, &str)],
) -> Result<Command> {
    let program = bin.join(name);
    let mut call = ns.command(program.to_str().context("a path in UTF-8")?);
    call.env_clear()
        .env("CNI_COMMAND", command)
        .env("CNI_PATH", bin)
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    Ok(call)
}

/// Starts a call, feeds it and reads its answer; `Value::Null` when it printed nothing.
pub fn run_plugin(call: &mut Command, stdin: &str) -> Result<Result<Value, Failure>> {
    let name = call.get_program().to_owned();
    let mut child = call
        .spawn()
        .with_context(|| format!("run {}", name.display()))?;
    let mut input = child.stdin.take().context("no stdin")?;
    match input.write_all(stdin.as_bytes()) {
        // A call that is refused by its environment alone does not read.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error.into()),
        _ => drop(input),
    }
    let output = child.wait_with_output()?;
    if output.status.success() && output.stdout.is_empty() {
        return Ok(Ok(Value::Null));
    }
    let object: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} printed {output:?}", name.display()))?;
    if output.status.success() {
        return Ok(Ok(object));
    }
    let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
    Ok(Err(Failure {
        code: object["code"].as_u64().context("no code")?,
        msg: text("msg"),
        details: text("details"),
    }))
}
