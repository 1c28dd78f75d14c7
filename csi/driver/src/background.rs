//! What goes on between calls: pools grow, what was put aside is erased and removed, limits are kept.
//!
//! One thread does it all, in turns. Everything that it needs to know stands in LVM: a restart goes on where the
//! last process was.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::driver::Shared;
use crate::{keeper, remove};

/// Time between two looks at the pools when nothing wakes the thread.
const PERIOD: Duration = Duration::from_secs(1);

/// Wakes the thread.
#[derive(Debug, Default)]
pub(crate) struct Background {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    woken: bool,
    ending: bool,
}

impl Background {
    /// There is something to do.
    pub(crate) fn wake(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .woken = true;
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

    /// Waits for the next turn; says whether there is one.
    fn next(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, PERIOD, |state| !state.woken && !state.ending)
            .unwrap_or_else(PoisonError::into_inner);
        state.woken = false;
        !state.ending
    }
}

/// Starts the threads: removal may take hours, and pools must not wait for it.
pub(crate) fn start(shared: &Arc<Shared>) -> std::io::Result<()> {
    let of = |name: &str, work: fn(&Shared)| {
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while shared.background.next() {
                    work(&shared);
                }
            })
    };
    of("pools", keeper::turn)?;
    of("removal", remove::turn)?;
    Ok(())
}
