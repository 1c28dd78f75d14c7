//! What is said to a worker.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// No message is longer.
const LONGEST: usize = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Request {
    /// To run a command: `lvcreate` and what follows.
    Run(Vec<String>),
    /// To have these devices write down what they keep in volatile caches.
    Flush(Vec<String>),
    /// To take snapshots at one instant. Answered twice: before the first volume is held, and at the end; an error before
    /// comes alone.
    Together {
        /// Id of the volume group.
        vg: String,
        /// Ids of the snapshots.
        snapshots: Vec<String>,
    },
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(words) => f.write_str(&words.join(" ")),
            Self::Flush(devices) => write!(f, "flush {}", devices.join(" ")),
            Self::Together { snapshots, .. } => {
                write!(f, "snapshots together {}", snapshots.join(" "))
            }
        }
    }
}

/// What LVM said. Nothing is decided by it, but whether a flush has failed; the words are for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// Whether LVM takes it for done.
    pub(crate) done: bool,
    /// Its errors; its warnings when there are none.
    pub(crate) words: String,
    /// Whether there is no LVM.
    pub(crate) missing: bool,
    /// Bytes of memory of the worker alone.
    pub(crate) memory: u64,
    /// Whether the library is loaded.
    pub(crate) library: bool,
}

pub(crate) fn send(to: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let body = serde_json::to_vec(message)?;
    let length = u32::try_from(body.len()).map_err(|_| ErrorKind::InvalidInput)?;
    let mut packet = length.to_le_bytes().to_vec();
    packet.extend(body);
    to.write_all(&packet)
}

/// The next message; `None`: the other end is closed.
pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > LONGEST {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_sent_until_the_other_end_closes() {
        let request = Request::Run(vec!["lvcreate".to_owned(), "--addtag=ä".to_owned()]);
        let mut bytes = Vec::new();
        send(&mut bytes, &request).expect("sent");
        send(&mut bytes, &Answer::default()).expect("sent");
        let mut from = bytes.as_slice();
        assert_eq!(receive(&mut from).expect("read"), Some(request));
        assert_eq!(receive(&mut from).expect("read"), Some(Answer::default()));
        assert_eq!(receive::<Answer>(&mut from).expect("read"), None);
    }

    #[test]
    fn no_bytes_break_the_reader() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let mut from = bytes;
            let _ = receive::<Request>(&mut from);
        });
    }
}
