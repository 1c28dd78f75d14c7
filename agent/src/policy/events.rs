//! The thread that reads what the programs tell of packets. While nobody follows, it throws all of it away: the
//! counters are the record.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fairlead_netpol_datapath::Events;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::counts::Lost;
use super::{Mailbox, Message};

/// How long events are gathered: a flood of them wakes nobody more often than this.
const GATHER: Duration = Duration::from_millis(20);

/// Events that the worker may not have seen yet; more are counted as lost.
const IN_FLIGHT: usize = 16_384;

/// Between this thread and the worker: whether anybody follows, and what is on its way.
#[derive(Debug, Default)]
pub(super) struct Gate {
    followers: AtomicUsize,
    in_flight: AtomicUsize,
}

impl Gate {
    /// So many follow from now on.
    pub(super) fn set_followers(&self, count: usize) {
        self.followers.store(count, Ordering::Relaxed);
    }

    /// So many events have arrived.
    pub(super) fn arrived(&self, count: usize) {
        self.in_flight.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Starts the thread. It ends with the process.
pub(super) fn start(mut events: Events, gate: Arc<Gate>, mailbox: Mailbox) {
    std::thread::spawn(move || {
        let mut lost = Lost::default();
        // What was lost while no agent ran is nobody's loss.
        lost.since(&events);
        loop {
            // A failed poll is told by the read that follows.
            let _ = poll(
                &mut [PollFd::new(events.as_fd(), PollFlags::POLLIN)],
                PollTimeout::NONE,
            );
            let follow = gate.followers.load(Ordering::Relaxed) > 0;
            let (mut batch, mut dropped) = (Vec::new(), 0);
            while let Some(event) = events.next() {
                if !follow {
                    continue;
                }
                if batch.len() + gate.in_flight.load(Ordering::Relaxed) < IN_FLIGHT {
                    batch.push(event);
                } else {
                    dropped += 1;
                }
            }
            let full = lost.since(&events);
            dropped += if follow { full } else { 0 };
            gate.in_flight.fetch_add(batch.len(), Ordering::Relaxed);
            if follow {
                mailbox.send(Message::Packets(batch, dropped));
            }
            std::thread::sleep(GATHER);
        }
    });
}
