//! Requests to the API server by the thousand, through `kubectl proxy`, which speaks TLS for us.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::kubectl;
use crate::plan::Cluster;

const PATIENCE: Duration = Duration::from_mins(1);

/// A way to the API server; gone when dropped.
#[derive(Debug)]
pub(super) struct Api {
    proxy: Child,
    port: u16,
}

impl Api {
    /// Starts the proxy on a free port of the machine's loopback.
    pub(super) fn start(cluster: &Cluster) -> Result<Self> {
        let mut proxy = kubectl::command(cluster)
            .args(["proxy", "--port=0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("run kubectl proxy")?;
        let mut line = String::new();
        let output = proxy.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        // "Starting to serve on 127.0.0.1:44217"
        let port = line
            .trim()
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        let port = port.with_context(|| format!("kubectl proxy said {line:?}"))?;
        Ok(Self { proxy, port })
    }

    pub(super) fn post(&self, path: &str, object: &Value) -> Result<()> {
        self.request("POST", path, "application/json", &object.to_string())
            .map(drop)
    }

    /// A merge patch (RFC 7396).
    pub(super) fn patch(&self, path: &str, change: &Value) -> Result<()> {
        let kind = "application/merge-patch+json";
        self.request("PATCH", path, kind, &change.to_string())
            .map(drop)
    }

    pub(super) fn get(&self, path: &str) -> Result<String> {
        self.request("GET", path, "application/json", "")
    }

    fn request(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let code = head.split(' ').nth(1).unwrap_or_default();
        if !code.starts_with('2') {
            bail!("{method} {path}: {code}: {body}");
        }
        Ok(body.to_owned())
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}
