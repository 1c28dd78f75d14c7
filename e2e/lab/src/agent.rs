//! An agent process in a namespace.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use fairlead_cni_netlink::NetNs;

use crate::namespace::Namespace;
use crate::wait::{LIMIT, wait_until};

/// Ports of the agent's pages.
const HEALTH: u16 = 9475;
const METRICS: u16 = 9476;

/// A running agent; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    inside: NetNs,
    log: PathBuf,
}

impl Agent {
    /// Starts `program` in `ns` with the configuration in the file `config`; beside that is its log, to
    /// which every start adds.
    pub fn start(
        program: &Path,
        ns: &Namespace,
        config: &Path,
        env: &[(&str, &str)],
    ) -> Result<Self> {
        let log = config.with_extension("log");
        let output = File::options().create(true).append(true).open(&log)?;
        let child = ns
            .command(program.to_str().context("a path in UTF-8")?)
            .args(["run", "--config"])
            .arg(config)
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .stderr(output)
            .spawn()?;
        Ok(Self {
            child,
            inside: ns.netns().try_clone()?,
            log,
        })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Status code and body of a page.
    pub fn get(&self, port: u16, page: &str) -> Result<(u16, String)> {
        let connect = || TcpStream::connect(("127.0.0.1", port));
        let mut stream = self.inside.run(connect)??;
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
    pub fn readiness(&self) -> Result<(u16, String)> {
        self.get(HEALTH, "/readyz")
    }

    /// All metrics.
    pub fn metrics(&self) -> Result<String> {
        Ok(self.get(METRICS, "/metrics")?.1)
    }

    /// The value of a series by its name and labels, or by its name alone the sum over all labels.
    pub fn metric(&self, series: &str) -> Result<i64> {
        let text = self.metrics()?;
        let values: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix(series))
            .filter(|rest| rest.starts_with([' ', '{']))
            .filter_map(|rest| Some(rest.rsplit_once(' ')?.1.trim_end_matches(".0")))
            .collect();
        ensure!(!values.is_empty(), "no {series} in\n{text}");
        values.iter().map(|value| Ok(value.parse::<i64>()?)).sum()
    }

    /// Everything written so far.
    pub fn writes(&self) -> Result<i64> {
        self.metric("fairlead_writes_total")
    }

    /// Waits until `holds`; the error has the log.
    pub fn wait(&self, what: &str, holds: impl FnMut() -> Result<bool>) -> Result<()> {
        wait_until(LIMIT, what, holds).with_context(|| format!("log:\n{}", self.log()))
    }

    /// Waits until it is ready.
    pub fn wait_ready(&self) -> Result<()> {
        self.wait("ready", || {
            Ok(self.readiness().is_ok_and(|(code, _)| code == 200))
        })
    }

    /// Waits until `/readyz` tells a condition with this text.
    pub fn wait_condition(&self, text: &str) -> Result<()> {
        self.wait(text, || {
            Ok(self.readiness().is_ok_and(|(_, body)| body.contains(text)))
        })
    }

    /// Waits until `/readyz` tells no condition with this text.
    pub fn wait_no_condition(&self, text: &str) -> Result<()> {
        self.wait(&format!("no {text}"), || {
            Ok(self.readiness().is_ok_and(|(_, body)| !body.contains(text)))
        })
    }

    /// Waits until a series has a value.
    pub fn wait_metric(&self, series: &str, value: i64) -> Result<()> {
        self.wait(&format!("{series} is {value}"), || {
            Ok(self.metric(series).is_ok_and(|now| now == value))
        })
    }

    /// Waits for `n` passes on the timer from now on.
    pub fn wait_passes(&self, n: u8) -> Result<()> {
        let passes = || self.metric("fairlead_resyncs_total{reason=\"timer\"}");
        let end = passes()? + i64::from(n);
        self.wait("passes", || Ok(passes()? >= end))
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([name, &pid]).status()?;
        ensure!(status.success(), "kill {name} {pid}");
        Ok(())
    }

    /// Ends it without any warning.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends it as the kubelet does; an error when it does not end well.
    pub fn terminate(mut self) -> Result<()> {
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
