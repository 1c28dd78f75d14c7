//! Running this program again: a process can enter a member's namespaces only as a whole.

use std::env;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::plan::{Cluster, Member};

/// A command that will run inside a member; the caller adds the program and its arguments.
pub(crate) fn inside(cluster: &Cluster, member: Member) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command
        .args(["--name", &cluster.name])
        .arg("--dir")
        .arg(cluster.home.parent().unwrap_or(Path::new("/")))
        .arg("--cache")
        .arg(&cluster.cache)
        .args(["exec", &member.to_string(), "--"])
        .stdin(Stdio::null());
    Ok(command)
}

/// Runs a command to its end, with `input`, and returns what it printed.
pub(crate) fn output(command: &mut Command, input: &str) -> Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    if let Some(mut pipe) = child.stdin.take() {
        pipe.write_all(input.as_bytes())
            .context("give the command its input")?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let last: Vec<_> = command.get_args().filter_map(|arg| arg.to_str()).collect();
        bail!(
            "{} {}: {}",
            command.get_program().display(),
            last.join(" "),
            error.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
