//! One TCP connection to an echo service, kept open.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::namespace::Namespace;
use crate::wait::LIMIT;

/// What is said each time.
const WORD: &[u8] = b"still there?";

/// How long nothing may come back until it is believed that nothing will.
const SILENCE: Duration = Duration::from_millis(500);

/// A connection to a service of [`crate::serve_echo`].
#[derive(Debug)]
pub struct TcpTalk(TcpStream);

impl TcpTalk {
    /// Connects.
    pub fn open(from: &Namespace, to: SocketAddr) -> Result<Self> {
        let stream = from.run(|| TcpStream::connect_timeout(&to, LIMIT))?;
        let stream = stream.with_context(|| format!("connect to {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Self(stream))
    }

    /// Says something and waits for the answer.
    pub fn say(&mut self) -> Result<()> {
        ensure!(self.hear(LIMIT)?, "no answer within {LIMIT:?}");
        Ok(())
    }

    /// Says something; whether there is an answer soon.
    pub fn answered(&mut self) -> Result<bool> {
        self.hear(SILENCE)
    }

    fn hear(&mut self, limit: Duration) -> Result<bool> {
        self.0.write_all(WORD)?;
        let end = Instant::now() + limit;
        let mut heard = Vec::new();
        let mut buffer = [0; 512];
        while !heard.ends_with(WORD) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            self.0.set_read_timeout(Some(left))?;
            match self.0.read(&mut buffer) {
                Ok(0) => anyhow::bail!("the connection was closed"),
                Ok(length) => heard.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}
