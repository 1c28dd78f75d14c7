//! What goes on between calls: pools grow, what was put aside is erased and removed, limits are kept.
//!
//! A thread for each, in turns. Everything that they need to know stands in LVM: a restart goes on where the
//! last process was. A turn comes when a call has left something to do, when device-mapper tells that something
//! has happened to a device, and else after the time that the last turn has named.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use fairlead_csi_lvm::{Events, LvmError};

use crate::driver::Shared;
use crate::{keeper, remove};

/// Time to the next turn where something can change of which no event tells.
pub(crate) const SOON: Duration = Duration::from_secs(1);
/// Time to the next turn where events tell, in case that one is missed.
pub(crate) const LATER: Duration = Duration::from_secs(5);

/// Wakes the threads.
#[derive(Debug, Default)]
pub(crate) struct Background {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often they were woken: each thread remembers what it has seen of it.
    woken: u64,
    ending: bool,
}

impl Background {
    /// There is something to do.
    pub(crate) fn wake(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .woken += 1;
        self.changed.notify_all();
    }

    /// The process ends: what is going on stops where it can be taken up again.
    pub(crate) fn end(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ending = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .ending
    }

    /// Waits for the next turn, which comes at most so late; says whether there is one.
    fn next(&self, seen: &mut u64, at_most: Duration) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, _) = self
            .changed
            .wait_timeout_while(state, at_most, |state| {
                state.woken == *seen && !state.ending
            })
            .unwrap_or_else(PoisonError::into_inner);
        *seen = state.woken;
        !state.ending
    }
}

/// Starts the threads: removal may take hours, and pools must not wait for it.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    turns(shared, "pools", keeper::turn)?;
    turns(shared, "removal", remove::turn)?;
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || listen(&shared))?;
    Ok(())
}

/// A thread that does `work` again and again; it says how long the next turn may take.
fn turns(shared: &Arc<Shared>, name: &str, work: fn(&Shared) -> Duration) -> std::io::Result<()> {
    let shared = Arc::clone(shared);
    let work = move || {
        let (mut seen, mut at_most) = (0, Duration::ZERO);
        while shared.background.next(&mut seen, at_most) {
            at_most = work(&shared);
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(work)?;
    Ok(())
}

/// Wakes the threads at each event of device-mapper: a pool is nearly full, a snapshot is lost.
fn listen(shared: &Shared) {
    let mut seen = 0;
    loop {
        // Without device-mapper there is no pool either; it may be loaded later.
        if let Err(error) = hear(shared) {
            tracing::debug!("no events of devices are heard: {error}");
        }
        if !shared.background.next(&mut seen, LATER) {
            return;
        }
    }
}

fn hear(shared: &Shared) -> Result<(), LvmError> {
    let events = Events::open()?;
    while !shared.background.is_ending() {
        if events.wait(LATER)? {
            shared.background.wake();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wake_reaches_every_thread() {
        let background = Background::default();
        background.wake();
        let long = Duration::from_mins(10);
        for mut seen in [0, 0] {
            assert!(background.next(&mut seen, long));
            assert!(background.next(&mut seen, Duration::ZERO), "it is over");
            assert_eq!(seen, 1);
        }
        background.end();
        assert!(!background.next(&mut 1, long));
    }
}
