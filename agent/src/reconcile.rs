//! When a pass is made: at start, when the cluster changes, when the kernel says that something
//! relevant changed, when it says that it lost messages, and on a slow timer.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use fairlead_cni_netlink::{Event, Group, Monitor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::error::AgentError;
use crate::kernel::events::calls_for_a_pass;
use crate::kernel::{Outcome, Reconciler};
use crate::metrics::Metrics;
use crate::source::Known;

/// How long to wait for more of the same: links come and go in bursts of messages.
const SETTLE: Duration = Duration::from_millis(20);

/// Messages in flight; when more come, the socket overruns and a pass makes up for it.
const IN_FLIGHT: usize = 64;

/// The kernel's messages, read by a thread that ends with the process.
///
/// # Errors
///
/// [`AgentError::Netlink`] when there is no socket.
pub fn watch_kernel() -> Result<mpsc::Receiver<Vec<Event>>, AgentError> {
    let groups = [
        Group::Link,
        Group::Address,
        Group::Route,
        Group::Rule,
        Group::NextHop,
    ];
    let mut monitor = Monitor::open(&groups)?;
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    std::thread::spawn(move || {
        loop {
            // A failed poll is told by the read that follows.
            let _ = poll(
                &mut [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)],
                PollTimeout::NONE,
            );
            let events = monitor.read().unwrap_or_else(|error| {
                tracing::warn!("{error}");
                std::thread::sleep(Duration::from_secs(1));
                vec![Event::Overrun]
            });
            if sender.blocking_send(events).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

/// Makes passes for ever.
pub async fn run(
    mut reconciler: Reconciler,
    mut known: watch::Receiver<Known>,
    mut events: mpsc::Receiver<Vec<Event>>,
    outcome: watch::Sender<Outcome>,
    period: Duration,
    metrics: Arc<Metrics>,
) {
    let mut reason = "start";
    loop {
        let now = known.borrow_and_update().clone();
        if now.complete {
            metrics.resyncs.get_or_create(&[("reason", reason)]).inc();
        }
        let pass = move || {
            let outcome = reconciler.pass(&now);
            (reconciler, outcome)
        };
        let Ok((back, result)) = tokio::task::spawn_blocking(pass).await else {
            // A pass that panics ends the agent; it starts again with nothing lost.
            return;
        };
        reconciler = back;
        outcome.send_replace(result);
        let deadline = Instant::now() + period;
        reason = tokio::select! {
            changed = known.changed() => match changed {
                Ok(()) => "cluster",
                Err(_) => return,
            },
            reason = relevant(&mut events, &reconciler) => reason,
            () = tokio::time::sleep_until(deadline) => "timer",
        };
    }
}

/// Waits for events that call for a pass and for the burst they come in to end.
async fn relevant(
    events: &mut mpsc::Receiver<Vec<Event>>,
    reconciler: &Reconciler,
) -> &'static str {
    let mut reason = None;
    loop {
        let batch = match reason {
            None => events.recv().await,
            Some(reason) => match tokio::time::timeout(SETTLE, events.recv()).await {
                Ok(batch) => batch,
                Err(_) => return reason,
            },
        };
        let Some(batch) = batch else {
            return std::future::pending().await;
        };
        for event in batch {
            if event == Event::Overrun {
                reason = Some("overrun");
            } else if calls_for_a_pass(&event, reconciler.routes()) {
                reason = reason.or(Some("event"));
            }
        }
    }
}
