//! One netlink socket: requests with acknowledgement, dumps, many messages in one send.
//!
//! The socket owns a sequence number and a receive buffer, nothing else. The kernel handles a request
//! within `sendmsg`, so that every answer waits in the queue when the call returns.

mod answer;

use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::{Socket as RawSocket, SocketAddr};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

pub(crate) use answer::Refusal;
use answer::{Answer, answer};

use crate::error::{NetlinkError, Operation, io};
use crate::wire::{Message, Messages, Writer, flag};

/// Room for the largest datagram that the kernel sends for a dump (32 KiB), twice.
const BUFFER: usize = 64 * 1024;

/// How often a dump that changed while it was read is started again.
const DUMP_ATTEMPTS: u32 = 8;

/// Receive buffer of a request socket in bytes: a batch of 64 KiB of small messages may fail in each.
const REQUEST_BUFFER: usize = 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Socket {
    raw: RawSocket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket of `protocol` in the calling thread's network namespace.
    pub(crate) fn open(protocol: isize) -> Result<Self, NetlinkError> {
        let failed = |doing| move |source| NetlinkError::Socket { doing, source };
        let raw = RawSocket::new(protocol).map_err(failed("open"))?;
        raw.connect(&SocketAddr::new(0, 0))
            .map_err(failed("connect"))?;
        raw.set_ext_ack(true)
            .map_err(failed("set extended acknowledgements on"))?;
        raw.set_cap_ack(true)
            .map_err(failed("set short acknowledgements on"))?;
        let socket = Self {
            raw,
            sequence: 0,
            buffer: Vec::new(),
        };
        socket.enlarge(REQUEST_BUFFER);
        Ok(socket)
    }

    /// Makes the kernel check dump requests and filter by them (`NETLINK_GET_STRICT_CHK`).
    pub(crate) fn set_strict(&self) -> Result<(), NetlinkError> {
        self.raw
            .set_netlink_get_strict_chk(true)
            .map_err(|source| NetlinkError::Socket {
                doing: "set strict checks on",
                source,
            })
    }

    /// Asks for a larger receive buffer; without `CAP_NET_ADMIN` the system's limit holds, which only
    /// makes an overrun likelier, and an overrun is noticed.
    pub(crate) fn enlarge(&self, bytes: usize) {
        if setsockopt(&self.raw, sockopt::RcvBufForce, &bytes).is_err() {
            let _ = setsockopt(&self.raw, sockopt::RcvBuf, &bytes);
        }
    }

    /// Sends all messages of `request` with one acknowledgement, asked of the last; calls `refused` with
    /// the index of each message that the kernel refused.
    pub(crate) fn transact(
        &mut self,
        request: &mut Writer,
        refused: impl FnMut(&Writer, usize, Refusal),
    ) -> Result<(), NetlinkError> {
        let Some(last) = request.starts().len().checked_sub(1) else {
            return Ok(());
        };
        self.exchange(request, last, |index, _| index == last, refused)
    }

    /// Sends an nftables transaction: the first and last message frame it, the one before the last is
    /// acknowledged. A refusal of the frame is the kernel's answer to the whole.
    pub(crate) fn transact_atomic(
        &mut self,
        request: &mut Writer,
        refused: impl FnMut(&Writer, usize, Refusal),
    ) -> Result<(), NetlinkError> {
        let Some(last) = request.starts().len().checked_sub(2) else {
            return Ok(());
        };
        self.make_room(request.bytes().len());
        self.exchange(
            request,
            last,
            |index, failed| index == last || (index == 0 && failed),
            refused,
        )
    }

    /// Sends all messages, asks `acknowledged` for an acknowledgement, and reads answers until `finished`
    /// holds for one, by its message's index and whether it is a refusal.
    fn exchange(
        &mut self,
        request: &mut Writer,
        acknowledged: usize,
        finished: impl Fn(usize, bool) -> bool,
        mut refused: impl FnMut(&Writer, usize, Refusal),
    ) -> Result<(), NetlinkError> {
        let first = self.sequence.wrapping_add(1);
        let count = request.starts().len();
        for index in 0..count {
            self.sequence = self.sequence.wrapping_add(1);
            let ack = if index == acknowledged { flag::ACK } else { 0 };
            request.stamp(index, self.sequence, flag::REQUEST | ack);
        }
        self.send(request)?;
        loop {
            let mut over = false;
            self.receive("a change was acknowledged")?;
            for message in Messages(&self.buffer) {
                let index = message.sequence.wrapping_sub(first) as usize;
                match answer(message) {
                    Some(answer) if index < count => {
                        over |= finished(index, matches!(answer, Answer::Refused(_)));
                        if let Answer::Refused(refusal) = answer {
                            refused(request, index, refusal);
                        }
                    }
                    _ => {}
                }
            }
            if over {
                return Ok(());
            }
        }
    }

    /// Makes the send buffer large enough for one message of `bytes`: the kernel takes a transaction in
    /// one piece. When it may not be enlarged, sending says so.
    fn make_room(&self, bytes: usize) {
        const DEFAULT: usize = 128 * 1024;
        if bytes > DEFAULT && setsockopt(&self.raw, sockopt::SndBufForce, &(2 * bytes)).is_err() {
            let _ = setsockopt(&self.raw, sockopt::SndBuf, &(2 * bytes));
        }
    }

    /// Joins multicast groups and never blocks from then on.
    pub(crate) fn listen(&mut self, groups: &[u32]) -> Result<(), NetlinkError> {
        let failed = |source| NetlinkError::Socket {
            doing: "listen on",
            source,
        };
        for group in groups {
            self.raw.add_membership(*group).map_err(failed)?;
        }
        self.raw.set_non_blocking(true).map_err(failed)
    }

    /// Hands at most `limit` waiting datagrams to `take`; says whether some were lost, which ends it.
    pub(crate) fn drain(
        &mut self,
        limit: usize,
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, NetlinkError> {
        for _ in 0..limit {
            match self.receive("changes were reported") {
                Ok(bytes) => take(bytes),
                Err(error) if error.is_overrun() => return Ok(true),
                Err(error) if error.errno() == Some(Errno::EAGAIN) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    /// Sends one request and hands its one answer to `take`.
    pub(crate) fn ask<T>(
        &mut self,
        request: &mut Writer,
        object: &dyn Fn() -> String,
        operation: Operation,
        take: impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<T, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        request.stamp(0, self.sequence, flag::REQUEST);
        self.send(request)?;
        loop {
            self.receive("an object was read")?;
            for message in Messages(&self.buffer) {
                if message.sequence != self.sequence {
                    continue;
                }
                return match answer(message) {
                    Some(Answer::Refused(refusal)) => Err(refusal.into_error(operation, object())),
                    Some(Answer::Done) => Err(NetlinkError::Malformed { object: object() }),
                    None => {
                        take(message).ok_or_else(|| NetlinkError::Malformed { object: object() })
                    }
                };
            }
        }
    }

    /// Sends many requests and reads the one answer to each, which `take` may find malformed.
    pub(crate) fn ask_each<T>(
        &mut self,
        request: &mut Writer,
        take: impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<Vec<Result<Option<T>, Refusal>>, NetlinkError> {
        let first = self.sequence.wrapping_add(1);
        let count = request.starts().len();
        for index in 0..count {
            self.sequence = self.sequence.wrapping_add(1);
            request.stamp(index, self.sequence, flag::REQUEST);
        }
        self.send(request)?;
        let mut answers: Vec<_> = (0..count).map(|_| Ok(None)).collect();
        let mut last = count == 0;
        while !last {
            self.receive("objects were read")?;
            for message in Messages(&self.buffer) {
                let index = message.sequence.wrapping_sub(first) as usize;
                let Some(place) = answers.get_mut(index) else {
                    continue;
                };
                last = index + 1 == count;
                *place = match answer(message) {
                    Some(Answer::Refused(refusal)) => Err(refusal),
                    Some(Answer::Done) => Ok(None),
                    None => Ok(take(message)),
                };
            }
        }
        Ok(answers)
    }

    /// Reads a whole list; starts again when it changed meanwhile (`NLM_F_DUMP_INTR`).
    pub(crate) fn dump<T>(
        &mut self,
        request: &mut Writer,
        object: &dyn Fn() -> String,
        take: impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<Vec<T>, NetlinkError> {
        for _ in 0..DUMP_ATTEMPTS {
            self.sequence = self.sequence.wrapping_add(1);
            request.stamp(0, self.sequence, flag::REQUEST | flag::DUMP);
            self.send(request)?;
            if let Some(items) = self.read_dump(object, &take)? {
                return Ok(items);
            }
        }
        Err(NetlinkError::Unsteady {
            object: object(),
            attempts: DUMP_ATTEMPTS,
        })
    }

    /// The items of one dump, or nothing when the kernel says that it changed while being read.
    fn read_dump<T>(
        &mut self,
        object: &dyn Fn() -> String,
        take: &impl Fn(Message<'_>) -> Option<T>,
    ) -> Result<Option<Vec<T>>, NetlinkError> {
        let mut items = Vec::new();
        let mut steady = true;
        loop {
            self.receive("a list was read")?;
            for message in Messages(&self.buffer) {
                if message.sequence != self.sequence {
                    continue;
                }
                steady &= message.flags & flag::DUMP_INTR == 0;
                match answer(message) {
                    // nf_tables ends a dump with EINTR when a transaction was committed meanwhile.
                    Some(Answer::Refused(Refusal {
                        errno: Errno::EINTR,
                        ..
                    })) => return Ok(None),
                    Some(Answer::Refused(refusal)) => {
                        return Err(refusal.into_error(Operation::List, object()));
                    }
                    Some(Answer::Done) => return Ok(steady.then_some(items)),
                    None => items.extend(take(message)),
                }
            }
        }
    }

    fn send(&self, request: &Writer) -> Result<(), NetlinkError> {
        loop {
            match self.raw.send(request.bytes(), 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(NetlinkError::Socket {
                        doing: "send on",
                        source,
                    });
                }
            }
        }
    }

    /// Fills the buffer with the next datagram. `doing` is for the text of an overrun.
    pub(crate) fn receive(&mut self, doing: &str) -> Result<&[u8], NetlinkError> {
        self.buffer.clear();
        self.buffer.reserve(BUFFER);
        loop {
            match self.raw.recv(&mut self.buffer, nix::libc::MSG_TRUNC) {
                // The kernel never ends a stream: nothing at all is no datagram of its.
                Ok(0) => {
                    let source = std::io::ErrorKind::UnexpectedEof.into();
                    return Err(NetlinkError::Socket {
                        doing: "receive on",
                        source,
                    });
                }
                Ok(length) if length > self.buffer.len() => {
                    return Err(NetlinkError::Socket {
                        doing: "receive on",
                        source: io(Errno::EMSGSIZE),
                    });
                }
                Ok(_) => return Ok(&self.buffer),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                    return Err(NetlinkError::Overrun {
                        doing: doing.to_owned(),
                    });
                }
                Err(source) => {
                    return Err(NetlinkError::Socket {
                        doing: "receive on",
                        source,
                    });
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.raw.as_fd()
    }
}

#[cfg(test)]
mod tests;
