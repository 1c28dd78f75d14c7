//! The caller's end of the serial line.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::wire::{Message, WINDOW};

/// Sends messages, never more than the guest has room for.
#[derive(Debug)]
pub(crate) struct Line {
    socket: UnixStream,
    /// Makes messages go out whole.
    turn: Mutex<()>,
    state: Mutex<State>,
    change: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes sent and not yet read by the agent.
    on_the_way: usize,
    closed: bool,
}

impl Line {
    pub(crate) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            turn: Mutex::default(),
            state: Mutex::default(),
            change: Condvar::new(),
        }
    }

    /// The socket, for the one who reads.
    pub(crate) fn reader(&self) -> io::Result<UnixStream> {
        self.socket.try_clone()
    }

    /// Sends a message; waits until the guest has room.
    pub(crate) fn send(&self, message: &Message) -> io::Result<()> {
        let mut frame = Vec::new();
        message.write(&mut frame)?;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in frame.chunks(WINDOW) {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let full = |state: &mut State| !state.closed && state.on_the_way + piece.len() > WINDOW;
            let mut state = self
                .change
                .wait_while(state, full)
                .unwrap_or_else(PoisonError::into_inner);
            if state.closed {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            state.on_the_way += piece.len();
            (&self.socket).write_all(piece)?;
        }
        Ok(())
    }

    /// The agent has read so many bytes.
    pub(crate) fn read(&self, count: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.on_the_way = state.on_the_way.saturating_sub(count as usize);
        self.change.notify_all();
    }

    /// Hangs up, which ends the machine; also to be called when the machine is gone.
    pub(crate) fn close(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .closed = true;
        self.change.notify_all();
    }
}
