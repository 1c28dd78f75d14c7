//! The agent's policy socket, from the side that asks.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use fairlead_cni_node::policy::{Answer, Message, MessageError, Request};

use crate::CliError;

/// An agent answers from memory: one that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// A request on its way.
#[derive(Debug)]
pub(crate) struct Answers(UnixStream);

/// Asks the agent behind the socket at `path`.
pub(crate) fn ask(path: &Path, request: &Request) -> Result<Answers, CliError> {
    let failed = |source| CliError::NoAgent {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(failed)?;
    stream.write_all(&request.encode()?).map_err(failed)?;
    Ok(Answers(stream))
}

impl Answers {
    /// The only answer.
    pub(crate) fn one(mut self) -> Result<Answer, CliError> {
        self.next()?.ok_or(MessageError::Closed.into())
    }

    /// Waits for answers without end from now on.
    pub(crate) fn forever(&self) -> Result<(), CliError> {
        let failed = |source| MessageError::Receive { source }.into();
        self.0.set_read_timeout(None).map_err(failed)
    }

    /// The next answer; none when the agent has closed the connection. A refusal is an error.
    pub(crate) fn next(&mut self) -> Result<Option<Answer>, CliError> {
        match Answer::receive(&mut self.0)? {
            Some(Answer::Error(refusal)) => Err(CliError::Refused(refusal.message)),
            answer => Ok(answer),
        }
    }
}
