//! One request to the agent, and its answer: never waited for longer than the configuration allows.

use std::io::{Error, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use fairlead_cni_node::policy::{Answer, Message as _, MessageError, PATIENCE, PluginKey, Request};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// Sends a request.
pub(super) fn send(key: &PluginKey, request: &Request) -> Result<UnixStream, MessageError> {
    let bytes = request.encode()?;
    let failed = |source| MessageError::Receive { source };
    let mut stream = open(key).map_err(failed)?;
    stream.write_all(&bytes).map_err(failed)?;
    Ok(stream)
}

/// Waits for the answer.
pub(super) fn answer(mut stream: UnixStream) -> Result<Answer, MessageError> {
    Answer::receive(&mut stream)?.ok_or(MessageError::Closed)
}

/// By hand, since an agent that is stopped lets a connection wait, which the standard library does without limit.
fn open(key: &PluginKey) -> Result<UnixStream, Error> {
    let limit = Duration::from_millis(key.start_timeout_ms) + PATIENCE;
    let limit = TimeVal::milliseconds(i64::try_from(limit.as_millis()).unwrap_or(i64::MAX));
    let fd = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    setsockopt(&fd, sockopt::SendTimeout, &limit)?;
    setsockopt(&fd, sockopt::ReceiveTimeout, &limit)?;
    connect(fd.as_raw_fd(), &UnixAddr::new(&key.socket)?)?;
    Ok(fd.into())
}
