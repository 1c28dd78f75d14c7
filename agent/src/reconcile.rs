//! When a pass is made: at start, when the cluster changes, when the kernel says that something
//! relevant changed, when it says that it lost messages, and on a slow timer.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use fairlead_cni_netlink::{Event, Group, Monitor, nft};
use fairlead_cni_node::owned::PLUGIN_ROLES;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::error::AgentError;
use crate::kernel::{Outcome, Reconciler};
use crate::metrics::Metrics;
use crate::source::Known;

/// How long to wait for more of the same: links come and go in bursts of messages.
const SETTLE: Duration = Duration::from_millis(20);

/// How long a burst may last before its pass is made all the same.
const BURST: Duration = Duration::from_millis(200);

/// How soon a pass with errors is repeated.
const RETRY: Duration = Duration::from_secs(5);

/// Messages in flight; when more come, the socket overruns and a pass makes up for it.
const IN_FLIGHT: usize = 64;

/// Something that the kernel tells.
#[derive(Debug)]
pub enum Notice {
    /// About links, addresses, routes.
    Network(Event),
    /// Somebody changed nftables rules.
    Rules,
}

/// Where parts of the agent may call for a pass too.
pub type Notices = mpsc::Sender<Vec<Notice>>;

/// The kernel's messages, read by threads that end with the process.
///
/// # Errors
///
/// [`AgentError::Netlink`] when there is no socket.
pub fn watch_kernel() -> Result<(Notices, mpsc::Receiver<Vec<Notice>>), AgentError> {
    let (sender, receiver) = mpsc::channel(IN_FLIGHT);
    let groups = [
        Group::Link,
        Group::Address,
        Group::Route,
        Group::Rule,
        Group::NextHop,
        Group::Neighbour,
    ];
    let mut network = Monitor::open(&groups)?;
    let mut rules = nft::Monitor::open()?;
    let (to, own) = (sender.clone(), sender.clone());
    std::thread::spawn(move || {
        forward(&to, || {
            await_message(network.as_fd());
            let events = network
                .read()
                .unwrap_or_else(|error| lost(&error, Event::Overrun));
            events.into_iter().map(Notice::Network).collect()
        });
    });
    std::thread::spawn(move || {
        forward(&sender, || {
            await_message(rules.as_fd());
            let changes = rules
                .read()
                .unwrap_or_else(|error| lost(&error, nft::Change::Overrun));
            let relevant = changes.iter().any(|change| !is_the_plugins(change));
            relevant.then_some(Notice::Rules).into_iter().collect()
        });
    });
    Ok((own, receiver))
}

/// Sends what `next` reads until nobody listens.
fn forward(sender: &mpsc::Sender<Vec<Notice>>, mut next: impl FnMut() -> Vec<Notice>) {
    while sender.blocking_send(next()).is_ok() {}
}

fn await_message(fd: BorrowedFd<'_>) {
    // A failed poll is told by the read that follows.
    let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], PollTimeout::NONE);
}

/// Whether the plugin made the change: it has tables and chains of its own, and pods come and go.
fn is_the_plugins(change: &nft::Change) -> bool {
    match change {
        nft::Change::Committed(by) => PLUGIN_ROLES.contains(&by.process.as_str()),
        nft::Change::Overrun => false,
    }
}

/// Messages were lost; a pass makes up for them.
fn lost<T>(error: &fairlead_cni_netlink::NetlinkError, overrun: T) -> Vec<T> {
    tracing::warn!("{error}");
    std::thread::sleep(Duration::from_secs(1));
    vec![overrun]
}

/// How much of a pass is called for, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    All(&'static str),
    Rules,
}

/// Makes passes for ever.
pub async fn run(
    mut reconciler: Reconciler,
    mut known: watch::Receiver<Known>,
    mut notices: mpsc::Receiver<Vec<Notice>>,
    outcome: watch::Sender<Outcome>,
    period: Duration,
    metrics: Arc<Metrics>,
) {
    let mut call = Call::All("start");
    // What the kernel's messages have called for since the last pass.
    let mut heard = None;
    let mut deadline = Instant::now() + period;
    loop {
        // Only a whole pass takes the news in: a part of one would leave them unseen.
        let now = match call {
            Call::All(_) => known.borrow_and_update().clone(),
            Call::Rules => Known::default(),
        };
        if let (true, Call::All(reason)) = (now.complete, call) {
            metrics.resyncs.get_or_create(&[("reason", reason)]).inc();
        }
        let changed = matches!(heard.take(), Some(Call::All(_)));
        let pass = move || {
            match call {
                Call::All(_) => reconciler.pass(&now, changed),
                Call::Rules => reconciler.rules(),
            }
            reconciler
        };
        let Ok(back) = tokio::task::spawn_blocking(pass).await else {
            // A pass that panics ends the agent; it starts again with nothing lost.
            return;
        };
        reconciler = back;
        outcome.send_if_modified(|old| reconciler.report(old));
        if call != Call::Rules {
            deadline = Instant::now() + period;
        }
        let retry = if reconciler.failed() { RETRY } else { period };
        call = tokio::select! {
            changed = known.changed() => match changed {
                Ok(()) => Call::All("cluster"),
                Err(_) => return,
            },
            call = relevant(&mut notices, &reconciler, &mut heard) => call,
            () = tokio::time::sleep_until(deadline.min(Instant::now() + retry)) => Call::All("timer"),
        };
    }
}

/// Waits for notices that call for a pass and for the burst they come in to end. `heard` outlives a wait
/// that is given up for another reason to make a pass.
async fn relevant(
    notices: &mut mpsc::Receiver<Vec<Notice>>,
    reconciler: &Reconciler,
    heard: &mut Option<Call>,
) -> Call {
    let mut wait: Option<(Instant, Instant)> = None;
    loop {
        let batch = match (*heard, wait) {
            (Some(call), Some((quiet, end))) => {
                match tokio::time::timeout_at(quiet.min(end), notices.recv()).await {
                    Ok(batch) => batch,
                    Err(_) => return call,
                }
            }
            _ => notices.recv().await,
        };
        let Some(batch) = batch else {
            return std::future::pending().await;
        };
        for notice in batch {
            let now = judge(&notice, |event| reconciler.is_concerned(event));
            if now.is_none() {
                continue;
            }
            *heard = worse(*heard, now);
            let (at, end) = (Instant::now(), wait.map(|(_, end)| end));
            wait = Some((at + SETTLE, end.unwrap_or(at + BURST)));
        }
    }
}

/// What `notice` calls for.
fn judge(notice: &Notice, is_concerned: impl Fn(&Event) -> bool) -> Option<Call> {
    match notice {
        Notice::Network(Event::Overrun) => Some(Call::All("overrun")),
        Notice::Network(event) => is_concerned(event).then_some(Call::All("event")),
        Notice::Rules => Some(Call::Rules),
    }
}

/// The one that asks for more: a whole pass before a part, and one after lost messages before any.
fn worse(a: Option<Call>, b: Option<Call>) -> Option<Call> {
    let rank = |call: &Call| match call {
        Call::Rules => 0,
        Call::All("overrun") => 2,
        Call::All(_) => 1,
    };
    a.into_iter().chain(b).max_by_key(rank)
}

#[cfg(test)]
mod tests {
    use fairlead_cni_netlink::{LinkIndex, Route};
    use fairlead_cni_node::owned::ROUTE_PROTOCOL;

    use super::*;
    use crate::kernel::events::calls_for_a_pass;
    use crate::routes::Keeper;

    fn after(notices: &[Notice]) -> Option<Call> {
        let keeper = Keeper::default();
        let concerned = |event: &Event| calls_for_a_pass(event, &keeper);
        notices.iter().fold(None, |before, notice| {
            worse(before, judge(notice, concerned))
        })
    }

    fn pod_route() -> Notice {
        let mut route = Route::on_link("10.244.1.7/32".parse().unwrap(), LinkIndex(7));
        route.protocol = ROUTE_PROTOCOL;
        Notice::Network(Event::RouteSet(route))
    }

    #[test]
    fn lost_messages_call_for_a_whole_pass() {
        assert_eq!(
            after(&[Notice::Network(Event::Overrun)]),
            Some(Call::All("overrun"))
        );
        assert_eq!(
            after(&[Notice::Rules, pod_route(), Notice::Network(Event::Overrun)]),
            Some(Call::All("overrun"))
        );
    }

    #[test]
    fn rules_call_for_their_part_and_pods_for_nothing() {
        assert_eq!(after(&[pod_route()]), None);
        assert_eq!(
            after(&[pod_route(), Notice::Rules, pod_route()]),
            Some(Call::Rules)
        );
    }

    #[test]
    fn a_route_of_the_underlay_calls_for_a_whole_pass() {
        let route = Route::via(
            "0.0.0.0/0".parse().unwrap(),
            "192.0.2.254".parse().unwrap(),
            None,
        );
        let gone = Notice::Network(Event::RouteGone(route));
        assert_eq!(
            after(&[Notice::Rules, gone, Notice::Rules]),
            Some(Call::All("event"))
        );
    }
}
