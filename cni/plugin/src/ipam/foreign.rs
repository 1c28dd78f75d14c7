//! A delegated IPAM plugin: another program that speaks CNI (spec section 4).

#![expect(
    unsafe_code,
    reason = "signal(2) may install handlers, which can do harm"
)]

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use fairlead_cni_spec::{AddResult, Code, ErrorObject, PluginType};
use nix::sys::signal::{SigHandler, Signal, signal};

use crate::call::Call;
use crate::error::{PluginError, Result};

/// A foreign plugin with the call that it is part of.
#[derive(Debug)]
pub(crate) struct Foreign<'a> {
    call: &'a Call,
    plugin: &'a PluginType,
}

impl<'a> Foreign<'a> {
    pub(crate) fn new(call: &'a Call, plugin: &'a PluginType) -> Self {
        Self { call, plugin }
    }

    /// Takes addresses. When that fails, DEL follows, as the spec asks: half a result may be held.
    pub(crate) fn add(&self) -> Result<AddResult> {
        let parsed = self.exec("ADD").and_then(|stdout| {
            let result = AddResult::parse(&stdout, self.call.conf.version)?;
            if result.ips.is_empty() {
                return Err(PluginError::NoAddress {
                    plugin: self.plugin.to_string(),
                });
            }
            Ok(result)
        });
        if parsed.is_err() {
            let _ = self.exec("DEL");
        }
        parsed
    }

    /// Passes a command on that has no result.
    pub(crate) fn run(&self, command: &str) -> Result<()> {
        self.exec(command).map(drop)
    }

    /// Runs the plugin with our own environment and configuration; its standard error is ours.
    fn exec(&self, command: &str) -> Result<Vec<u8>> {
        let path = self.find()?;
        let failed = |source| PluginError::DelegateRun {
            path: path.clone(),
            source,
        };
        let output = self.communicate(&path, command).map_err(failed)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let unclear = || ErrorObject {
            code: Code::Internal,
            msg: format!("{} without an error object", output.status),
            details: String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        };
        let object = ErrorObject::parse(&output.stdout).unwrap_or_else(|_| unclear());
        Err(PluginError::Delegate {
            plugin: self.plugin.to_string(),
            object,
        })
    }

    fn communicate(&self, path: &PathBuf, command: &str) -> io::Result<Output> {
        // A plugin that does not read must not end this process.
        // SAFETY: no handler is installed.
        unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
        let mut child = Command::new(path)
            .env("CNI_COMMAND", command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(&self.call.stdin) {
                // It ended without reading: its exit code and output say why.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                written => written?,
            }
        }
        child.wait_with_output()
    }

    fn find(&self) -> Result<PathBuf> {
        let paths = self
            .call
            .path
            .iter()
            .map(|dir| dir.join(self.plugin.as_str()));
        paths
            .into_iter()
            .find(|path| path.is_file())
            .ok_or_else(|| PluginError::DelegateMissing {
                plugin: self.plugin.to_string(),
                searched: self
                    .call
                    .path
                    .iter()
                    .map(|dir| dir.to_string_lossy())
                    .collect::<Vec<_>>()
                    .join(":"),
            })
    }
}
