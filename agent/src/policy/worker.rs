//! The thread that owns the compiler and the data path: takes messages in batches, and writes what they come to.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use fairlead_cni_netlink::{Event, LinkIndex, Netlink};
use fairlead_cni_node::policy::{Answer, Attach, Attached as Known, Refusal, RefusalCode, Request};
use fairlead_netpol_datapath::{Datapath, DatapathError, MapName, Settings, node_table};
use fairlead_netpol_model::Compiler;
use fairlead_netpol_model::tables::IfIndex;
use tokio::sync::{oneshot, watch};

use super::answers;
use super::attachments::{Attached, Attachments};
use super::counts::Seen;
use super::flows::Followers;
use super::input::{self, Listed};
use super::links::Links;
use super::node_rule::NodeRule;
use super::running::Running;
use super::{Mailbox, Message, events, key, notes};
use crate::conditions::{Board, Condition, Finder};
use crate::config::Policy;
use crate::metrics::Metrics;
use crate::reconcile::{Notice, Notices};

/// Messages that are taken together: what they come to is written once.
const BATCH: usize = 4096;

/// How soon what did not work is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// How long after something happened to links they are compared with what should be on them: it comes in bursts.
const SETTLE: Duration = Duration::from_millis(100);

/// How long packets that were being judged when something was written may still look at what it replaced.
const GRACE_PERIOD: Duration = Duration::from_millis(20);

/// How long TCP segments in the middle of flows of a pod that ran before policy came count as replies.
const OPEN_FLOWS: Duration = Duration::from_mins(1);

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
}

/// Starts the thread. It ends with the process.
pub(super) fn start(setup: Setup, mailbox: Mailbox, messages: Receiver<Message>) {
    std::thread::spawn(move || {
        let mut worker = Worker::new(setup, mailbox);
        worker.run(&messages);
    });
}

/// A pod whose start waits for what is known of it.
#[derive(Debug)]
struct Waiting {
    note: Attach,
    until: Instant,
    /// `None` where nobody waits for an answer.
    reply: Option<oneshot::Sender<Answer>>,
}

impl Waiting {
    /// A client that has gone waits for nothing.
    fn answer(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(answer);
        }
    }
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
    /// The links whose programs were put back last.
    repaired: BTreeSet<String>,
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
            repaired: BTreeSet::new(),
            failing: None,
            unsupported: None,
            link_errors: Vec::new(),
            told: Vec::new(),
            setup,
        }
    }

    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            let now = Instant::now();
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
                self.followers.forget_addresses();
                let any = !self.setup.config.check_sources;
                input::take(&mut self.compiler, &mut self.listed, news, any);
                self.flush_at = Some(Instant::now());
            }
            Message::Asked(Request::Attach(note), reply) => self.waiting.push(Waiting {
                note,
                until: Instant::now() + self.setup.config.start_timeout,
                reply: Some(reply),
            }),
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
            Message::Notes => self.check_at = self.check_at.min(Instant::now() + SETTLE),
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
        self.tell();
    }

    fn open(&mut self) {
        let opened = Datapath::open(&self.setup.config.datapath);
        match opened.and_then(|datapath| Ok((Netlink::open()?, datapath))) {
            Ok((netlink, mut datapath)) => {
                tracing::info!(found = ?datapath.found(), "policy programs loaded");
                let settings = Settings {
                    shortcut: self.setup.config.shortcut,
                    sample: self.setup.config.sample_flows,
                };
                self.failing = datapath
                    .set_settings(settings)
                    .err()
                    .map(|e| self.failed(&e));
                match datapath.events() {
                    Ok(events) => {
                        events::start(events, self.followers.gate(), self.mailbox.clone());
                    }
                    Err(error) => self.failing = Some(self.failed(&error)),
                }
                self.datapath = Some(datapath);
                self.netlink = Some(netlink);
                self.unsupported = None;
            }
            Err(error) => self.unsupported = Some(self.failed(&error)),
        }
    }

    /// Everything is known for the first time: the maps are brought to it, and pods that run get their programs.
    fn begin(&mut self) {
        let (Some(datapath), Some(netlink)) = (&mut self.datapath, &mut self.netlink) else {
            return;
        };
        let running = netlink.links().and_then(|links| {
            let running = Running::read(netlink, &links)?;
            Ok((links, running))
        });
        let (links, running) = match running {
            Ok(found) => found,
            Err(error) => {
                self.failing = Some(error.to_string());
                self.check_at = Instant::now() + RETRY;
                return;
            }
        };
        let had = datapath.attached().unwrap_or_default();
        let node = &self.setup.node;
        let own = self
            .compiler
            .cluster()
            .pods
            .values()
            .filter(|pod| *pod.node == **node);
        let mut notes = running.notes(own.map(|pod| &**pod));
        let written = self.attachments.notes();
        notes.retain(|note| !written.iter().any(|other| other.if_index == note.if_index));
        for note in written.into_iter().chain(notes) {
            let there = |link: &fairlead_cni_netlink::Link| {
                link.index == LinkIndex(note.if_index) && link.name.as_str() == note.host_link
            };
            if links.iter().any(there) {
                self.insert(note);
            }
        }
        // What the compiler believes to be written is not yet: all of it is compared.
        let _ = self.compiler.take_update();
        let ran: Vec<IfIndex> = self.attachments.iter().map(|(link, _)| link).collect();
        let Some(datapath) = &mut self.datapath else {
            return;
        };
        for link in ran {
            if !had.iter().any(|filter| filter.link == link) {
                let _ = datapath.set_grace(link, OPEN_FLOWS);
            }
        }
        self.enforcing = self.resync();
        self.setup.enforced.send_replace(self.enforcing);
        self.check_at = if self.enforcing {
            Instant::now()
        } else {
            Instant::now() + RETRY
        };
    }

    fn resync(&mut self) -> bool {
        let Some(datapath) = &mut self.datapath else {
            return false;
        };
        let tables = self.compiler.tables();
        match datapath.resync(&tables) {
            Ok(applied) => {
                tracing::info!(
                    written = applied.written,
                    removed = applied.removed,
                    "policy maps compared"
                );
                self.setup
                    .metrics
                    .wrote("policy", applied.written + applied.removed, false);
                self.failing = None;
                true
            }
            Err(error) => {
                self.failing = Some(self.failed(&error));
                false
            }
        }
    }

    /// Takes an attachment in; `false` when there is no slot for it.
    fn insert(&mut self, note: Attach) -> bool {
        let link = note.if_index;
        if let Some(old) = self
            .attachments
            .link(&note.host_link)
            .filter(|old| *old != link)
        {
            self.detach(old);
        }
        let Some(attached) = self.attachments.insert(note) else {
            return false;
        };
        let (pod, uid) = (attached.pod(), attached.note.uid.clone());
        let attachment = attached.attachment();
        self.compiler.attach(link, pod, &uid, attachment);
        self.flush_at = Some(Instant::now());
        true
    }

    fn detach(&mut self, link: IfIndex) {
        if self.attachments.remove(link).is_none() {
            return;
        }
        self.compiler.detach(link);
        self.links.gone(link);
        self.flush_at = Some(Instant::now());
    }

    /// Puts the programs on the links of pods that start.
    fn put_waiting(&mut self) {
        for mut one in std::mem::take(&mut self.waiting) {
            let link = one.note.if_index;
            let is_on = self
                .attachments
                .get(link)
                .is_some_and(|on| on.note == one.note);
            match if is_on { Ok(()) } else { self.put(&one.note) } {
                Ok(()) => self.waiting.push(one),
                Err(refusal) => one.answer(Answer::Error(refusal)),
            }
        }
    }

    fn put(&mut self, note: &Attach) -> Result<(), Refusal> {
        let refuse = |code, message| Refusal { code, message };
        if let Err(error) = self.attachments.write(note) {
            return Err(refuse(RefusalCode::Failed, error.to_string()));
        }
        if !self.insert(note.clone()) {
            let message = "no slot is left for another pod on a bridge of this node".to_owned();
            return Err(refuse(RefusalCode::Full, message));
        }
        let Some(datapath) = &mut self.datapath else {
            return Err(refuse(RefusalCode::Off, "policy is off".to_owned()));
        };
        if let Err(error) = self.links.attach_pod(datapath, note.if_index) {
            let message = self.failed(&error);
            self.detach(note.if_index);
            return Err(refuse(RefusalCode::Failed, message));
        }
        self.setup.metrics.policy.attached.inc();
        self.flush();
        let full = self
            .datapath
            .as_ref()
            .map(Datapath::full)
            .unwrap_or_default();
        if let Some(full) = full.iter().find(|full| full.map == MapName::Endpoints) {
            let message = full.to_string();
            self.detach(note.if_index);
            self.flush();
            return Err(refuse(RefusalCode::Full, message));
        }
        Ok(())
    }

    /// Answers those that are known by now, and those that waited long enough.
    fn answer_waiting(&mut self) {
        let now = Instant::now();
        for mut one in std::mem::take(&mut self.waiting) {
            let known = self.enforcing && self.is_known(one.note.if_index);
            if !known && one.until > now {
                self.waiting.push(one);
            } else if !self.enforcing {
                one.answer(Answer::Error(self.not_yet()));
            } else {
                one.answer(Answer::Attached(Known { known }));
            }
        }
    }

    /// Why nothing is enforced.
    pub(super) fn not_yet(&self) -> Refusal {
        match &self.unsupported {
            Some(text) => Refusal {
                code: RefusalCode::Off,
                message: text.clone(),
            },
            None => Refusal {
                code: RefusalCode::Starting,
                message: "the agent has not yet read all pods, namespaces and policies".to_owned(),
            },
        }
    }

    /// Whether what holds for the pod on a link is known.
    pub(super) fn is_known(&self, link: IfIndex) -> bool {
        let known = |on: &Attached| {
            let pod = self.compiler.pod(&on.pod());
            pod.is_some_and(|pod| on.note.uid.is_empty() || *pod.uid == on.note.uid)
        };
        self.attachments.get(link).is_some_and(known)
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
                // One that is gone again is no error, and any other is seen by the comparison.
                if self.links.seen(datapath, link, pods).is_err() {
                    self.check_at = self.check_at.min(now + SETTLE);
                }
            }
            Event::Filters(_) => self.check_at = self.check_at.min(now + SETTLE),
            Event::Overrun => self.check_at = now,
            _ => {}
        }
    }

    /// Compares links and notes with what is known of them.
    fn check(&mut self) {
        self.check_at = Instant::now() + self.setup.period;
        self.take_notes();
        self.flush();
        let pods: BTreeSet<IfIndex> = self.attachments.iter().map(|(link, _)| link).collect();
        let (Some(datapath), Some(netlink)) = (&mut self.datapath, &mut self.netlink) else {
            return;
        };
        let bridges = self.attachments.bridges();
        match self.links.check(datapath, netlink, &pods, &bridges) {
            Ok(checked) => {
                let metrics = &self.setup.metrics;
                metrics.wrote("filter", checked.attached, false);
                metrics.wrote("filter", checked.repaired.len(), true);
                for link in &checked.repaired {
                    tracing::warn!(link, "somebody removed policy programs; they are back");
                }
                self.repaired = checked.repaired.into_iter().collect();
                self.link_errors = checked.errors.iter().map(ToString::to_string).collect();
                let names = checked.bridges;
                let table = node_table(datapath.node_program(), &names);
                if self.setup.rule.want(table) {
                    let _ = self.setup.notices.blocking_send(vec![Notice::Rules]);
                }
                if !self.link_errors.is_empty() {
                    self.check_at = Instant::now() + RETRY;
                }
            }
            Err(error) => {
                self.link_errors = vec![self.failed(&error)];
                self.check_at = Instant::now() + RETRY;
            }
        }
    }

    /// Takes in what the plugin wrote while nobody answered it, and forgets what it removed.
    fn take_notes(&mut self) {
        let Some(netlink) = &mut self.netlink else {
            return;
        };
        let Ok(links) = netlink.links() else { return };
        let is_there = |index: IfIndex, name: &str| {
            links
                .iter()
                .any(|link| link.index.0 == index && link.name.as_str() == name)
        };
        let notes = self.attachments.notes();
        let gone: Vec<IfIndex> = self
            .attachments
            .iter()
            .filter(|(index, on)| !is_there(*index, &on.note.host_link))
            .map(|(index, _)| index)
            .collect();
        for index in gone {
            self.detach(index);
        }
        for note in notes {
            let new = self.attachments.get(note.if_index).is_none();
            if new && is_there(note.if_index, &note.host_link) && self.insert(note.clone()) {
                self.waiting.push(Waiting {
                    note,
                    until: Instant::now() + self.setup.config.start_timeout,
                    reply: None,
                });
            }
        }
    }

    /// Writes all changes since the last time.
    fn flush(&mut self) {
        self.flush_at = None;
        let Some(datapath) = self.datapath.as_mut().filter(|_| self.enforcing) else {
            return;
        };
        if self.failing.is_some() {
            self.enforcing = self.resync();
            self.flush_at = self.failing.is_some().then(|| Instant::now() + RETRY);
            self.enforcing = true;
            return;
        }
        let begin = Instant::now();
        let update = self.compiler.take_update();
        self.setup
            .metrics
            .policy
            .compile
            .observe(begin.elapsed().as_secs_f64());
        if update.writes.is_empty() {
            return;
        }
        let begin = Instant::now();
        let applied = datapath.apply(&update);
        self.setup
            .metrics
            .policy
            .apply
            .observe(begin.elapsed().as_secs_f64());
        match applied {
            Ok(applied) => {
                self.setup
                    .metrics
                    .wrote("policy", applied.written + applied.removed, false);
                // What nobody refers to any more is removed when no packet looks at it.
                self.flush_at = Some(Instant::now() + GRACE_PERIOD);
            }
            Err(error) => {
                self.failing = Some(self.failed(&error));
                self.flush_at = Some(Instant::now() + RETRY);
            }
        }
    }

    /// Counts an error and says what it is.
    fn failed(&self, error: &DatapathError) -> String {
        self.setup.metrics.error("policy");
        crate::error::with_causes(error)
    }

    /// Shows what there is, and what is wrong.
    fn tell(&mut self) {
        let counts = self.compiler.counts();
        self.setup
            .metrics
            .policy
            .show(&counts, self.attachments.iter().count());
        let conditions = self.conditions();
        if conditions != self.told {
            self.setup.board.replace(Finder::Policy, conditions.clone());
            self.told = conditions;
        }
    }

    fn conditions(&self) -> Vec<Condition> {
        let mut all = Vec::new();
        let node = || self.setup.node.clone();
        if let Some(text) = self.unsupported.clone() {
            all.push(Condition::PolicyOff { node: node(), text });
        }
        let failing = self.failing.iter().chain(&self.link_errors);
        all.extend(failing.map(|text| Condition::Failing { text: text.clone() }));
        let full = self
            .datapath
            .as_ref()
            .map(Datapath::full)
            .unwrap_or_default();
        all.extend(full.iter().map(|full| Condition::PolicyMapFull {
            text: full.to_string(),
        }));
        let removed = self.repaired.iter();
        all.extend(removed.map(|link| Condition::FilterRemoved { link: link.clone() }));
        let starts = |link| {
            self.waiting
                .iter()
                .any(|waiting| waiting.note.if_index == link)
        };
        let unknown = self
            .attachments
            .iter()
            .filter(|(link, _)| self.enforcing && !starts(*link) && !self.is_known(*link));
        all.extend(unknown.map(|(_, on)| Condition::PodUnknown {
            pod: on.note.pod.to_string(),
            link: on.note.host_link.clone(),
        }));
        all
    }

    /// The programs that are on the link, and whether they are ours.
    pub(super) fn has_programs(&self, link: IfIndex) -> bool {
        self.links.has(link)
    }

    pub(super) fn is_enforcing(&self) -> bool {
        self.enforcing
    }

    /// Packets that the policy sets of the pod on a link dropped.
    pub(super) fn drops(&self, _link: IfIndex) -> u64 {
        0
    }

    pub(super) fn troubles(&self) -> Vec<String> {
        self.told.iter().map(ToString::to_string).collect()
    }
}
