//! An agent process on a node.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fairlead_cni_netlink::NetNs;
use fairlead_e2e_lab::{Namespace, wait_until};

/// How long anything may take before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Ports of the agent's pages.
const HEALTH: u16 = 9475;
const METRICS: u16 = 9476;

/// A running agent; killed when dropped. Its files stay with the node.
pub(crate) struct Agent {
    child: Child,
    inside: NetNs,
    log: PathBuf,
}

impl Agent {
    /// Starts `program` in `ns` with the configuration in `folder`.
    pub(crate) fn start(program: &Path, ns: &Namespace, folder: &Path) -> Result<Self> {
        let log = folder.join("log");
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(&log)?;
        let child = ns
            .command(program.to_str().context("a path in UTF-8")?)
            .arg("run")
            .arg("--config")
            .arg(folder.join("agent.yaml"))
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()?;
        Ok(Self {
            child,
            inside: ns.netns().try_clone()?,
            log,
        })
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Status code and body of a page.
    fn get(&self, port: u16, page: &str) -> Result<(u16, String)> {
        let mut stream = self
            .inside
            .run(|| TcpStream::connect(("127.0.0.1", port)))??;
        stream.set_read_timeout(Some(LIMIT))?;
        let request = format!("GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
        let code = head.split(' ').nth(1).context("no status")?.parse()?;
        Ok((code, body.to_owned()))
    }

    /// Status code and text of `/readyz`.
    pub(crate) fn readiness(&self) -> Result<(u16, String)> {
        self.get(HEALTH, "/readyz")
    }

    /// All metrics.
    pub(crate) fn metrics(&self) -> Result<String> {
        Ok(self.get(METRICS, "/metrics")?.1)
    }

    /// The sum of the series whose name with labels begins with `series`.
    pub(crate) fn metric(&self, series: &str) -> Result<i64> {
        let text = self.metrics()?;
        let values: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with(series))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(_, value)| value.trim_end_matches(".0"))
            .collect();
        ensure!(!values.is_empty(), "no {series} in\n{text}");
        values.iter().map(|value| Ok(value.parse::<i64>()?)).sum()
    }

    /// Everything written so far.
    pub(crate) fn writes(&self) -> Result<i64> {
        self.metric("fairlead_writes_total{")
    }

    pub(crate) fn wait(&self, what: &str, holds: impl FnMut() -> Result<bool>) -> Result<()> {
        wait_until(LIMIT, what, holds).with_context(|| format!("log:\n{}", self.log()))
    }

    pub(crate) fn wait_ready(&self) -> Result<()> {
        self.wait("ready", || {
            Ok(self.readiness().is_ok_and(|(code, _)| code == 200))
        })
    }

    /// Waits until `/readyz` tells a condition with this text.
    pub(crate) fn wait_condition(&self, text: &str) -> Result<()> {
        self.wait(text, || {
            Ok(self.readiness().is_ok_and(|(_, body)| body.contains(text)))
        })
    }

    pub(crate) fn wait_no_condition(&self, text: &str) -> Result<()> {
        self.wait(&format!("no {text}"), || {
            Ok(self.readiness().is_ok_and(|(_, body)| !body.contains(text)))
        })
    }

    /// Waits until a series has a value.
    pub(crate) fn wait_metric(&self, series: &str, value: i64) -> Result<()> {
        self.wait(&format!("{series} is {value}"), || {
            Ok(self.metric(series).is_ok_and(|now| now == value))
        })
    }

    /// Ends it without any warning.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([name, &pid]).status()?;
        ensure!(status.success(), "kill {name} {pid}");
        Ok(())
    }

    /// Ends it as the kubelet does.
    pub(crate) fn terminate(mut self) -> Result<()> {
        self.signal("-TERM")?;
        let child = &mut self.child;
        wait_until(LIMIT, "the agent ends", || Ok(child.try_wait()?.is_some()))?;
        ensure!(self.child.wait()?.success(), "{}", self.log());
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
