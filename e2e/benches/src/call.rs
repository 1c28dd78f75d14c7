//! One call of a plugin as a runtime makes it: environment, configuration on standard input, result on
//! standard output (CNI 1.1.0, "Execution Protocol").

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Every container's interface.
pub(crate) const IFNAME: &str = "eth0";

/// What the runtime wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Add,
    Check,
    Del,
}

impl Verb {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Check => "CHECK",
            Self::Del => "DEL",
        }
    }
}

/// A plugin with its configuration.
#[derive(Debug, Clone)]
pub(crate) struct Plugin {
    pub(crate) program: PathBuf,
    pub(crate) conf: Value,
}

/// The id of a container that a runtime could have made.
pub(crate) fn container(number: usize) -> String {
    format!("{number:064x}")
}

/// Runs the plugin and returns what it printed.
pub(crate) fn call(
    plugin: &Plugin,
    verb: Verb,
    number: usize,
    netns: &Path,
    previous: Option<&str>,
) -> Result<String> {
    let mut conf = plugin.conf.clone();
    if let Some(previous) = previous {
        conf["prevResult"] = serde_json::from_str(previous).context("read a previous result")?;
    }
    let mut child = Command::new(&plugin.program)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("CNI_COMMAND", verb.name())
        .env("CNI_CONTAINERID", container(number))
        .env("CNI_NETNS", netns)
        .env("CNI_IFNAME", IFNAME)
        .env(
            "CNI_ARGS",
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=bench;K8S_POD_NAME=pod",
        )
        .env(
            "CNI_PATH",
            plugin.program.parent().unwrap_or(Path::new("/")),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("run {}", plugin.program.display()))?;
    let (Some(mut input), Some(mut output)) = (child.stdin.take(), child.stdout.take()) else {
        bail!("a plugin started without pipes");
    };
    input
        .write_all(conf.to_string().as_bytes())
        .context("write the configuration")?;
    drop(input);
    let mut text = String::new();
    output
        .read_to_string(&mut text)
        .context("read the result")?;
    let status = child.wait()?;
    ensure!(
        status.success(),
        "{} of {} with {conf}: {status}: {text}",
        verb.name(),
        plugin.program.display()
    );
    Ok(text)
}
