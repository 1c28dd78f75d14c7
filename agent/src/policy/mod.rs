//! Enforcement of `NetworkPolicy` on this node.
//!
//! One thread, the [`worker`], owns what is known of the cluster (the compiler) and what the kernel is told (the data
//! path). Everything comes to it as a [`Message`]: news of the [`source`], requests over the [`socket`], the kernel's
//! messages about links, events of the programs. Enforcement lives in the kernel: it goes on while no agent runs, and
//! nothing that is enforced is changed before pods, namespaces and policies are all known.

mod answers;
mod attachments;
mod counts;
pub(crate) mod enforcement;
mod events;
mod flows;
mod input;
mod key;
mod links;
mod metrics;
pub mod node_rule;
mod running;
pub mod socket;
pub mod source;
mod worker;

use std::path::PathBuf;
use std::sync::mpsc;

use fairlead_cni_netlink::Event;
use fairlead_cni_node::policy::{Answer, Flows, Request};
use tokio::sync::oneshot;

pub use metrics::PolicyMetrics;
use source::News;
use worker::Setup;

/// Something for the worker to do.
#[derive(Debug)]
pub enum Message {
    /// The cluster is another.
    News(News),
    /// Somebody asks over the socket.
    Asked(Request, oneshot::Sender<Answer>),
    /// Somebody wants to be told of flows.
    Follow(Flows, tokio::sync::mpsc::Sender<Answer>),
    /// The kernel tells of links.
    Kernel(Vec<Event>),
    /// The programs tell of packets; so many could not be handed over before them.
    Packets(Vec<fairlead_netpol_datapath::Event>, u64),
    /// The folder of notes about attachments changed.
    Notes,
    /// Bring the metrics up to date.
    Count(oneshot::Sender<()>),
}

/// Where messages for the worker go. It takes them in their order.
#[derive(Debug, Clone)]
pub struct Mailbox(mpsc::Sender<Message>);

impl Mailbox {
    /// A mailbox and its other end.
    #[must_use]
    pub fn new() -> (Self, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }

    /// Hands over a message. A worker that has ended takes the process with it.
    pub fn send(&self, message: Message) {
        let _ = self.0.send(message);
    }

    /// Hands over news.
    pub fn news(&self, news: News) {
        self.send(Message::News(news));
    }

    /// Has the metrics brought up to date.
    pub async fn count(&self) {
        let (done, counted) = oneshot::channel();
        self.send(Message::Count(done));
        let _ = counted.await;
    }
}

/// The folder of notes about attachments: beside the socket.
#[must_use]
pub fn notes(run_dir: &std::path::Path) -> PathBuf {
    run_dir.join(fairlead_cni_node::owned::ATTACHMENTS)
}
