//! Death at a chosen moment, for tests of what a killed process leaves behind.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, raise};

/// The environment variable with the number of the message, from 1, before which the process dies.
const VARIABLE: &str = "FAIRLEAD_KILL_AT";

static SENT: AtomicU64 = AtomicU64::new(0);
static KILL_AT: OnceLock<Option<u64>> = OnceLock::new();

/// Counts a send, and dies like by `kill -9` when it is the chosen one.
pub(crate) fn before_send() {
    let chosen = KILL_AT.get_or_init(|| std::env::var(VARIABLE).ok()?.parse().ok());
    let number = SENT.fetch_add(1, Ordering::Relaxed) + 1;
    if *chosen == Some(number) {
        let _ = raise(Signal::SIGKILL);
    }
}
