//! What is there when the agent comes: programs, pods that run, notes about them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use fairlead_cni_netlink::{Link, Netlink};
use fairlead_cni_node::policy::Attach;
use fairlead_netpol_datapath::{Datapath, DatapathError, Settings};
use fairlead_netpol_model::tables::IfIndex;

use super::starts::Waiting;
use super::{RETRY, Worker, now, sets};
use crate::policy::events;
use crate::policy::links::set_bridges;
use crate::policy::running::Running;

/// How long TCP segments in the middle of flows of a pod that ran before policy came count as replies.
const OPEN_FLOWS: Duration = Duration::from_mins(1);

impl Worker {
    pub(super) fn open(&mut self) {
        let opened = Datapath::open(&self.setup.config.datapath);
        match opened.and_then(|datapath| Ok((Netlink::open()?, datapath))) {
            Ok((netlink, datapath)) => {
                tracing::info!(found = ?datapath.found(), "policy programs loaded");
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
    pub(super) fn begin(&mut self) {
        self.check_at = Instant::now() + RETRY;
        let Some(datapath) = &mut self.datapath else {
            return;
        };
        let had: BTreeSet<IfIndex> = match datapath.attached() {
            Ok(had) => had.into_iter().map(|filter| filter.link).collect(),
            Err(error) => {
                self.failing = Some(self.failed(&error));
                return;
            }
        };
        let noted = self.all_links().and_then(|links| {
            self.take_notes(&links, Some(&had))?;
            self.name_bridges(&links)
        });
        if let Err(error) = noted {
            self.failing = Some(self.failed(&error));
            return;
        }
        // What the compiler believes to be written is not yet: all of it is compared.
        let _ = self.compiler.take_update();
        self.enforcing = self.resync();
        self.setup.enforced.send_replace(self.enforcing);
        if self.enforcing {
            self.check_at = Instant::now();
        }
    }

    /// Before the maps are compared: bridges have entries among those of pods.
    fn name_bridges(&mut self, links: &[Link]) -> Result<(), DatapathError> {
        let Some(datapath) = &mut self.datapath else {
            return Ok(());
        };
        let (_, errors) = set_bridges(datapath, links, &self.attachments.bridges());
        errors.into_iter().next().map_or(Ok(()), Err)
    }

    /// All links of the node.
    pub(super) fn all_links(&mut self) -> Result<Vec<Link>, DatapathError> {
        let links = self.netlink.as_mut().map(Netlink::links);
        Ok(links.transpose()?.unwrap_or_default())
    }

    /// Takes in what is attached: what notes tell of, some of which the plugin wrote while nobody answered it, and
    /// what runs without. `had` are the links that an earlier agent put programs on, while those are known.
    pub(super) fn take_notes(
        &mut self,
        links: &[Link],
        had: Option<&BTreeSet<IfIndex>>,
    ) -> Result<(), DatapathError> {
        let Some(netlink) = &mut self.netlink else {
            return Ok(());
        };
        let there: BTreeMap<IfIndex, &str> = links
            .iter()
            .map(|link| (link.index.0, link.name.as_str()))
            .collect();
        let is_there = |index: IfIndex, name: &str| there.get(&index) == Some(&name);
        let gone = self
            .attachments
            .iter()
            .filter(|(index, on)| !is_there(*index, &on.note.host_link));
        let gone: Vec<IfIndex> = gone.map(|(index, _)| index).collect();
        let mut notes = self.attachments.notes();
        notes.retain(|note| is_there(note.if_index, &note.host_link));
        let known = |link: &Link| {
            let index = link.index.0;
            self.attachments.get(index).is_some() || notes.iter().any(|note| note.if_index == index)
        };
        let bare = links.iter().filter(|link| link.is_up() && !known(link));
        let running = Running::read(netlink, bare)?;
        let node = &self.setup.node;
        let own = self
            .compiler
            .cluster()
            .pods
            .iter()
            .filter(|pod| *pod.node == **node);
        let bare = running.notes(own.map(|pod| &**pod));
        notes.retain(|note| self.attachments.get(note.if_index).is_none());
        for index in gone {
            self.detach(index);
        }
        // Where the plugin wrote a note, it put the programs on the link before the link was up.
        let is_new = |link: &IfIndex| had.is_some_and(|had| !had.contains(link));
        for note in notes {
            let new = is_new(&note.if_index);
            self.take_note(note, new);
        }
        for note in bare {
            let new = had.is_none() || is_new(&note.if_index);
            self.take_note(note, new);
        }
        Ok(())
    }

    /// A pod that ran before any program of ours judged its packets may be in the middle of flows.
    fn take_note(&mut self, note: Attach, ran: bool) {
        let link = note.if_index;
        if !self.insert(note.clone()) {
            tracing::warn!(
                link = note.host_link,
                "no slot is left for a pod on a bridge of this node"
            );
            return;
        }
        self.attachments.recall(link);
        self.waiting
            .push(Waiting::new(note, self.setup.config.start_timeout, None));
        if let Some(datapath) = self.datapath.as_mut().filter(|_| ran)
            && let Err(error) = datapath.set_grace(link, OPEN_FLOWS)
        {
            self.failing = Some(self.failed(&error));
        }
    }

    pub(super) fn resync(&mut self) -> bool {
        let Some(datapath) = &mut self.datapath else {
            return false;
        };
        let settings = Settings {
            shortcut: self.setup.config.shortcut,
            sample: self.setup.config.sample_flows,
        };
        let tables = self.compiler.tables();
        match datapath
            .set_settings(settings)
            .and_then(|_| datapath.resync(&tables))
        {
            Ok(applied) => {
                for (link, endpoint) in &tables.endpoints {
                    self.attachments.judge(*link, sets(endpoint), now());
                }
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
}
