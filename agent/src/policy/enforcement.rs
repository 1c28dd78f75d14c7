//! Starts what enforces policy, or removes what an earlier agent left where policy is switched off.

use std::os::fd::AsFd;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use fairlead_cni_netlink::{Event, Group, Monitor};
use fairlead_netpol_datapath as datapath;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::watch;

use super::node_rule::NodeRule;
use super::socket::{self, Serves};
use super::{Mailbox, Message, Setup, notes, worker};
use crate::error::AgentError;
use crate::files::FolderWatch;
use crate::reconcile::Notices;
use crate::run::{Parts, Shared};

/// What the rest of the agent has to do with policy.
pub(crate) struct Enforcement {
    /// Where news go; `None` when policy is off.
    pub(crate) mailbox: Option<Mailbox>,
    messages: Option<mpsc::Receiver<Message>>,
    /// What the keeper of nftables rules keeps.
    pub(crate) rule: Arc<NodeRule>,
    /// Whether everything known is enforced, or policy is off.
    pub(crate) enforced: watch::Sender<bool>,
    /// When the worker was last at work; `None` before it is, and where policy is off.
    pub(crate) beat: watch::Sender<Option<Instant>>,
}

impl Enforcement {
    /// Nothing runs yet.
    pub(crate) fn new(shared: &Shared) -> Self {
        let on = shared.config.policy.is_some();
        let (mailbox, messages) = on.then(Mailbox::new).unzip();
        Self {
            mailbox,
            messages,
            rule: Arc::new(if on {
                NodeRule::default()
            } else {
                NodeRule::off()
            }),
            enforced: watch::channel(!on).0,
            beat: watch::channel(None).0,
        }
    }

    /// Starts the worker, what listens to the kernel for it, and the socket.
    pub(crate) fn start(
        self,
        shared: &Shared,
        parts: &mut Parts,
        notices: Notices,
    ) -> Result<(), AgentError> {
        let config = &shared.config;
        let listener = socket::listen(&config.run_dir)?;
        let (Some(policy), Some(mailbox), Some(messages)) =
            (&config.policy, self.mailbox, self.messages)
        else {
            remove(shared);
            parts.spawn(async move {
                socket::serve(listener, Serves::Off).await;
                Ok(())
            });
            return Ok(());
        };
        watch_links(mailbox.clone())?;
        let setup = Setup {
            config: policy.clone(),
            node: shared.node.clone(),
            run_dir: config.run_dir.clone(),
            period: config.resync_period,
            metrics: Arc::clone(&shared.metrics),
            board: Arc::clone(&shared.board),
            rule: self.rule,
            notices,
            enforced: self.enforced,
            beat: self.beat,
        };
        let ended = worker::start(setup, mailbox.clone(), messages);
        parts.spawn(async move {
            let _ = ended.await;
            Err(AgentError::PartEnded)
        });
        let folder = notes(&config.run_dir);
        std::fs::create_dir_all(&folder)
            .map_err(|source| AgentError::file("create", &folder, source))?;
        let mut watch = FolderWatch::new(vec![folder])?;
        let to = mailbox.clone();
        parts.spawn(async move {
            loop {
                watch.changed().await;
                to.send(Message::Notes);
            }
        });
        parts.spawn(async move {
            socket::serve(listener, Serves::Worker(mailbox)).await;
            Ok(())
        });
        Ok(())
    }
}

/// Takes away what an agent enforced before policy was switched off.
fn remove(shared: &Shared) {
    let (removed, errors) = datapath::remove(&shared.config.bpf_dir);
    if !removed.is_empty() {
        tracing::info!(
            removed = removed.len(),
            "policy is off; removed filters and programs"
        );
    }
    for error in errors {
        shared.metrics.error("policy");
        tracing::warn!("{error}");
    }
}

/// Hands on what the kernel tells of links and filters, from a thread that ends with the process.
fn watch_links(mailbox: Mailbox) -> Result<(), AgentError> {
    let mut monitor = Monitor::open(&[Group::Link, Group::Filter])?;
    std::thread::spawn(move || {
        loop {
            // A failed poll is told by the read that follows.
            let _ = poll(
                &mut [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)],
                PollTimeout::NONE,
            );
            let events = monitor.read().unwrap_or_else(|error| {
                tracing::warn!("{error}");
                std::thread::sleep(std::time::Duration::from_secs(1));
                vec![Event::Overrun]
            });
            mailbox.send(Message::Kernel(events));
        }
    });
    Ok(())
}
