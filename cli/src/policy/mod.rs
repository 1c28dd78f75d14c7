//! `fairlead policy`: what holds for a pod, and what happens to a packet and why.
//!
//! Both are asked of the agent, which answers from what it enforces. With files, `explain` works out the same from
//! them by the same code, without a cluster.

mod files;
mod offline;
pub(crate) mod sides;
mod status;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use fairlead_cni_node::policy::{Answer, Explain, Request};

use crate::CliError;
use crate::socket;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Writes what holds for a pod of the agent's node.
///
/// # Errors
///
/// [`CliError`] where the agent does not answer, or does not know the pod.
pub fn status(
    socket: &Path,
    pod: &str,
    namespace: &str,
    form: Form,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let pod = sides::pod(pod, namespace)?;
    let Answer::Status(status) = socket::ask(socket, &Request::Status(pod))?.one()? else {
        return Err(CliError::OtherAnswer);
    };
    let text = match form {
        Form::Text => status::text(&status),
        Form::Json => json(&status)?,
    };
    out.write_all(text.as_bytes()).map_err(CliError::Output)
}

/// Where `explain` knows the cluster from.
#[derive(Debug, Clone, Copy)]
pub enum Knowledge<'a> {
    /// The agent behind this socket.
    Agent(&'a Path),
    /// These files and folders.
    Files(&'a [PathBuf]),
}

/// Writes what happens to a packet, and why; returns whether it passes.
///
/// # Errors
///
/// [`CliError`] where that cannot be told.
pub fn explain(
    knowledge: Knowledge<'_>,
    packet: &Explain,
    form: Form,
    out: &mut impl Write,
) -> Result<bool, CliError> {
    let explained = match knowledge {
        Knowledge::Agent(socket) => {
            match socket::ask(socket, &Request::Explain(packet.clone()))?.one()? {
                Answer::Explained(explained) => explained,
                _ => return Err(CliError::OtherAnswer),
            }
        }
        Knowledge::Files(paths) => offline::explain(&files::read(paths)?, packet)?,
    };
    let text = match form {
        Form::Text => format!("{}\n", explained.text.trim_end()),
        Form::Json => json(&explained)?,
    };
    out.write_all(text.as_bytes()).map_err(CliError::Output)?;
    Ok(explained.allowed)
}

pub(crate) fn json(result: &impl serde::Serialize) -> Result<String, CliError> {
    let text =
        serde_json::to_string_pretty(result).map_err(|error| CliError::Output(error.into()))?;
    Ok(text + "\n")
}
