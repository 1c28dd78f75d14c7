//! What the caller and the guest's agent say to each other over the serial line: frames of type, job, length, body.
//! A connection to a socket of the guest has a job's number too.

use std::io::{self, Read, Write};

/// Version of these messages, told by the agent first: the program in the guest may be an older build.
pub(crate) const VERSION: u32 = 2;

/// At most so many bytes to the agent are on their way; the guest's terminal takes 4,095 without being read.
pub(crate) const WINDOW: usize = 3072;

/// A body is at most this long: what is longer is noise on the line.
const LONGEST: u32 = 1 << 20;

/// Which of a job's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// A command to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) folder: String,
    /// Program and arguments.
    pub(crate) words: Vec<String>,
    /// `NAME=value`.
    pub(crate) environment: Vec<String>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// From the agent, first of all: its version.
    Ready(u32),
    /// From the agent: so many bytes were read. User-mode-linux's serial line gets stuck when its buffers fill.
    Read(u32),
    /// To the agent.
    Start(u32, Start),
    /// To the agent: a signal for a job's process group.
    Signal(u32, i32),
    /// From the agent.
    Output(u32, Stream, Vec<u8>),
    /// From the agent, a job's last: its wait status as a shell tells it (128 + signal).
    Exit(u32, u8),
    /// From the agent, a job's last: it could not be started, and why.
    Failed(u32, String),
    /// To the agent: connect to a unix socket.
    Connect(u32, String),
    /// From the agent: the connection stands.
    Connected(u32),
    /// Either way: bytes of a connection; none says that no more will come.
    Data(u32, Vec<u8>),
    /// To the agent: end the machine in good order.
    PowerOff,
}

impl Message {
    /// Writes the message as one piece.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, job, body) = match self {
            Self::Ready(version) => (b'R', *version, Vec::new()),
            Self::Read(count) => (b'A', *count, Vec::new()),
            Self::Start(job, start) => (b'S', *job, start.encode()),
            Self::Signal(job, signal) => (b'K', *job, signal.to_le_bytes().to_vec()),
            Self::Output(job, Stream::Out, bytes) => (b'o', *job, bytes.clone()),
            Self::Output(job, Stream::Err, bytes) => (b'e', *job, bytes.clone()),
            Self::Exit(job, code) => (b'X', *job, vec![*code]),
            Self::Failed(job, why) => (b'F', *job, why.clone().into_bytes()),
            Self::Connect(job, path) => (b'C', *job, path.clone().into_bytes()),
            Self::Connected(job) => (b'O', *job, Vec::new()),
            Self::Data(job, bytes) => (b'D', *job, bytes.clone()),
            Self::PowerOff => (b'P', 0, Vec::new()),
        };
        let length = u32::try_from(body.len())
            .ok()
            .filter(|length| *length <= LONGEST);
        let length = length.ok_or_else(|| {
            wrong(format!(
                "a message of {} bytes: at most {LONGEST}",
                body.len()
            ))
        })?;
        let mut frame = vec![kind];
        frame.extend(job.to_le_bytes());
        frame.extend(length.to_le_bytes());
        frame.extend(body);
        to.write_all(&frame)?;
        to.flush()
    }

    /// Reads one message.
    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let [kind, j0, j1, j2, j3, l0, l1, l2, l3] = head;
        let (job, length) = (
            u32::from_le_bytes([j0, j1, j2, j3]),
            u32::from_le_bytes([l0, l1, l2, l3]),
        );
        if length > LONGEST {
            return Err(wrong(format!("noise on the serial line: {head:?}")));
        }
        let mut body = vec![0; length as usize];
        from.read_exact(&mut body)?;
        Ok(match (kind, body.as_slice()) {
            (b'R', []) => Self::Ready(job),
            (b'A', []) => Self::Read(job),
            (b'S', _) => Self::Start(job, Start::decode(&body)?),
            (b'K', [a, b, c, d]) => Self::Signal(job, i32::from_le_bytes([*a, *b, *c, *d])),
            (b'o', _) => Self::Output(job, Stream::Out, body),
            (b'e', _) => Self::Output(job, Stream::Err, body),
            (b'X', [code]) => Self::Exit(job, *code),
            (b'F', _) => Self::Failed(job, String::from_utf8_lossy(&body).into_owned()),
            (b'C', _) => Self::Connect(job, String::from_utf8_lossy(&body).into_owned()),
            (b'O', []) => Self::Connected(job),
            (b'D', _) => Self::Data(job, body),
            (b'P', []) => Self::PowerOff,
            _ => return Err(wrong(format!("noise on the serial line: {head:?}"))),
        })
    }
}

impl Start {
    /// Number of words, folder, words, environment; each ends with NUL.
    fn encode(&self) -> Vec<u8> {
        let count = self.words.len().to_string();
        let all = [&count, &self.folder]
            .into_iter()
            .chain(&self.words)
            .chain(&self.environment);
        all.flat_map(|text| text.bytes().chain([0])).collect()
    }

    fn decode(body: &[u8]) -> io::Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| wrong("a command that is not UTF-8"))?;
        let mut parts = text.split_terminator('\0').map(str::to_owned);
        let count = parts
            .next()
            .and_then(|count| count.parse().ok())
            .ok_or_else(|| wrong("a command without count"))?;
        let folder = parts
            .next()
            .ok_or_else(|| wrong("a command without folder"))?;
        let words = parts.by_ref().take(count).collect();
        Ok(Self {
            folder,
            words,
            environment: parts.collect(),
        })
    }
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let start = Start {
            folder: "/tmp".into(),
            words: vec![
                "sh".into(),
                "-c".into(),
                String::new(),
                "echo \"ä\"\n".into(),
            ],
            environment: vec!["A=b=c".into()],
        };
        let all = [
            Message::Ready(VERSION),
            Message::Read(12),
            Message::Start(7, start),
            Message::Signal(7, 9),
            Message::Output(7, Stream::Out, vec![0, 255, b'\n']),
            Message::Output(7, Stream::Err, Vec::new()),
            Message::Exit(7, 137),
            Message::Failed(8, "no such file".into()),
            Message::Connect(9, "/run/socket".into()),
            Message::Connected(9),
            Message::Data(9, vec![1, 2]),
            Message::Data(9, Vec::new()),
            Message::PowerOff,
        ];
        let mut line = Vec::new();
        for message in &all {
            message.write(&mut line).unwrap();
        }
        let mut line = line.as_slice();
        for message in all {
            assert_eq!(Message::read(&mut line).unwrap(), message);
        }
        assert!(line.is_empty());
    }

    #[test]
    fn noise_is_told_apart() {
        let error = Message::read(&mut b"Kernel panic - not syncing".as_slice()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "noise on the serial line: [75, 101, 114, 110, 101, 108, 32, 112, 97]"
        );
    }
}
