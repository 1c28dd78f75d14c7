//! The thread that owns the compiler and the data path: takes messages in batches, and writes what they come to.

mod begin;
mod keep;
mod starts;
mod tell;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use fairlead_cni_netlink::{Event, Netlink};
use fairlead_cni_node::policy::{Answer, Request};
use fairlead_netpol_datapath::Datapath;
use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::tables::Endpoint;
use tokio::sync::{oneshot, watch};

use super::attachments::{Attachments, Sets};
use super::counts::Seen;
use super::flows::Followers;
use super::input::{self, Listed};
use super::links::{self, Links};
use super::node_rule::NodeRule;
use super::{Mailbox, Message, answers, key, notes};
use crate::conditions::{Board, Condition};
use crate::config::Policy;
use crate::metrics::Metrics;
use crate::reconcile::Notices;
use starts::Waiting;

/// Messages that are taken together: what they come to is written once.
const BATCH: usize = 4096;

/// How soon what did not work is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long after something happened to links they are compared with what should be on them: it comes in bursts.
const SETTLE: Duration = Duration::from_millis(100);

/// How long after a write of its own the kernel's messages about filters say nothing new.
const OWN: Duration = Duration::from_secs(1);

/// What the worker is made of.
pub(super) struct Setup {
    /// The configuration.
    pub(super) config: Policy,
    /// This node's name.
    pub(super) node: String,
    /// Where the notes about attachments are.
    pub(super) run_dir: PathBuf,
    /// Time between two comparisons of links.
    pub(super) period: Duration,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
    /// Where it is told what is wrong.
    pub(super) board: Arc<Board>,
    /// The table that the reconciler keeps.
    pub(super) rule: Arc<NodeRule>,
    /// Where the reconciler is told that the table is another.
    pub(super) notices: Notices,
    /// Whether everything known is enforced.
    pub(super) enforced: watch::Sender<bool>,
    /// Where it tells that it is at work.
    pub(super) beat: watch::Sender<Option<Instant>>,
}

/// Starts the thread. What it hands back tells when it has ended, which it does by a mistake alone.
pub(super) fn start(
    setup: Setup,
    mailbox: Mailbox,
    messages: Receiver<Message>,
) -> oneshot::Receiver<()> {
    let (alive, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let _alive: oneshot::Sender<()> = alive;
        Worker::new(setup, mailbox).run(&messages);
    });
    ended
}

/// What holds it all.
pub(super) struct Worker {
    setup: Setup,
    mailbox: Mailbox,
    pub(super) compiler: Compiler,
    listed: Listed,
    datapath: Option<Datapath>,
    netlink: Option<Netlink>,
    /// The maps hold what the compiler says, and every change is written.
    enforcing: bool,
    pub(super) attachments: Attachments,
    links: Links,
    waiting: Vec<Waiting>,
    pub(super) followers: Followers,
    counts: Seen,
    /// When links are compared, and what was not written is.
    check_at: Instant,
    flush_at: Option<Instant>,
    /// When filters were last changed by this thread: the kernel tells of that too.
    wrote_at: Instant,
    /// The links whose programs were put back last.
    repaired: BTreeMap<String, Instant>,
    failing: Option<String>,
    unsupported: Option<String>,
    link_errors: Vec<String>,
    told: Vec<Condition>,
}

impl Worker {
    fn new(setup: Setup, mailbox: Mailbox) -> Self {
        let secret = key::of_node(&setup.run_dir);
        Self {
            mailbox,
            compiler: Compiler::keyed(secret),
            listed: Listed::default(),
            datapath: None,
            netlink: None,
            enforcing: false,
            attachments: Attachments::new(notes(&setup.run_dir)),
            links: Links::default(),
            waiting: Vec::new(),
            followers: Followers::default(),
            counts: Seen::default(),
            check_at: Instant::now(),
            flush_at: None,
            wrote_at: Instant::now(),
            repaired: BTreeMap::new(),
            failing: None,
            unsupported: None,
            link_errors: Vec::new(),
            told: Vec::new(),
            setup,
        }
    }

    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let now = Instant::now();
            self.setup.beat.send_replace(Some(now));
            let next = self
                .waiting
                .iter()
                .map(|waiting| waiting.until)
                .chain(self.flush_at)
                .min();
            let next = next.map_or(self.check_at, |next| next.min(self.check_at));
            let first = match messages.recv_timeout(next.saturating_duration_since(now)) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let more = messages.try_iter().take(BATCH);
            for message in first.into_iter().chain(more) {
                self.take(message);
            }
            self.work();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::News(news) => {
                let any = !self.setup.config.check_sources;
                input::take(&mut self.compiler, &mut self.listed, news, any);
                self.flush_at = Some(Instant::now());
            }
            Message::Asked(Request::Attach(note), reply) => {
                let time = self.setup.config.start_timeout;
                self.waiting.push(Waiting::new(note, time, Some(reply)));
            }
            Message::Asked(Request::Detach(gone), reply) => {
                if let Some(link) = self.attachments.link(&gone.host_link) {
                    self.detach(link);
                }
                let _ = reply.send(Answer::Detached);
            }
            Message::Asked(request, reply) => {
                let answer = answers::answer(self, &request);
                let _ = reply.send(answer);
            }
            Message::Follow(wanted, to) => self.followers.add(wanted, to),
            Message::Kernel(events) => events.iter().for_each(|event| self.kernel(event)),
            Message::Packets(packets, lost) => {
                self.setup.metrics.policy.events_lost.inc_by(lost);
                self.followers
                    .tell(&packets, lost, &self.compiler, &self.attachments);
            }
            Message::Notes if self.attachments.has_news() => {
                self.check_at = self.check_at.min(Instant::now() + SETTLE);
            }
            Message::Notes => {}
            Message::Count(done) => {
                if let Some(datapath) = &self.datapath {
                    self.counts.count(datapath, &self.setup.metrics.policy);
                }
                let _ = done.send(());
            }
        }
    }

    /// Does all that is due.
    fn work(&mut self) {
        let now = Instant::now();
        if self.datapath.is_none() && self.check_at <= now {
            self.open();
        }
        if self.listed.all() && self.datapath.is_some() && !self.enforcing {
            self.begin();
        }
        if self.enforcing {
            self.put_waiting();
            if self.flush_at.is_some_and(|at| at <= now) {
                self.flush();
            }
            if self.check_at <= now {
                self.check();
            }
        } else if self.check_at <= now {
            self.check_at = now + RETRY;
        }
        self.answer_waiting();
        self.attachments.write_times();
        self.tell();
    }

    fn kernel(&mut self, event: &Event) {
        let now = Instant::now();
        match event {
            Event::LinkGone(link) => {
                self.detach(link.index.0);
                self.links.gone(link.index.0);
            }
            Event::LinkSet(link) if self.enforcing => {
                let pods = self.attachments.get(link.index.0).is_some();
                let Some(datapath) = &mut self.datapath else {
                    return;
                };
                // What cannot be done now is seen by the comparison.
                if !matches!(self.links.seen(datapath, link, pods), Ok(links::Seen::Done)) {
                    self.check_at = self.check_at.min(now + SETTLE);
                }
            }
            Event::Filters(_) => {
                let own = now.duration_since(self.wrote_at) < OWN;
                let wait = if own { OWN } else { SETTLE };
                self.check_at = self.check_at.min(now + wait);
            }
            Event::Overrun => self.check_at = now,
            _ => {}
        }
    }
}

fn sets(endpoint: &Endpoint) -> Sets {
    [endpoint.ingress, endpoint.egress].map(|set| set.map(|set| set.id.0))
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
