//! Pods that start and end.

use std::time::{Duration, Instant};

use fairlead_cni_node::policy::{Answer, Attach, Attached as Known, Refusal, RefusalCode};
use fairlead_netpol_datapath::{Datapath, MapName};
use fairlead_netpol_model::tables::IfIndex;
use tokio::sync::oneshot;

use super::{Worker, now};
use crate::policy::attachments::Attached;

/// A pod whose start waits for what is known of it.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) note: Attach,
    pub(super) until: Instant,
    /// `None` where nobody waits for an answer.
    reply: Option<oneshot::Sender<Answer>>,
}

impl Waiting {
    /// One that waits for so long; without a `reply` it runs already.
    pub(super) fn new(
        note: Attach,
        time: Duration,
        reply: Option<oneshot::Sender<Answer>>,
    ) -> Self {
        Self {
            note,
            until: Instant::now() + time,
            reply,
        }
    }

    /// A client that has gone waits for nothing.
    fn answer(&mut self, answer: Answer) {
        if let Some(reply) = self.reply.take() {
            let _ = reply.send(answer);
        }
    }
}

impl Worker {
    /// Takes an attachment in; `false` when there is no slot for it.
    pub(super) fn insert(&mut self, note: Attach) -> bool {
        let link = note.if_index;
        if let Some(old) = self
            .attachments
            .link(&note.host_link)
            .filter(|old| *old != link)
        {
            self.detach(old);
        }
        let Some(attached) = self.attachments.insert(note, now()) else {
            return false;
        };
        let (pod, uid) = (attached.pod(), attached.note.uid.clone());
        let attachment = attached.attachment();
        self.compiler.attach(link, pod, uid, attachment);
        self.flush_at = Some(Instant::now());
        true
    }

    pub(super) fn detach(&mut self, link: IfIndex) {
        if self.attachments.remove(link).is_none() {
            return;
        }
        self.compiler.detach(link);
        self.links.gone(link);
        self.flush_at = Some(Instant::now());
    }

    /// Puts the programs on the links of pods that start.
    pub(super) fn put_waiting(&mut self) {
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
        self.wrote_at = Instant::now();
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
    pub(super) fn answer_waiting(&mut self) {
        let time = Instant::now();
        for mut one in std::mem::take(&mut self.waiting) {
            let known = self.enforcing && self.is_known(one.note.if_index);
            if !known && one.until > time {
                self.waiting.push(one);
            } else if !self.enforcing {
                one.answer(Answer::Error(self.not_yet()));
            } else {
                one.answer(Answer::Attached(Known { known }));
            }
        }
    }

    /// Why nothing is enforced.
    pub(in crate::policy) fn not_yet(&self) -> Refusal {
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
    pub(in crate::policy) fn is_known(&self, link: IfIndex) -> bool {
        let known = |on: &Attached| {
            let pod = self.compiler.pod(&on.pod());
            pod.is_some_and(|pod| on.note.uid.is_empty() || pod.uid == on.note.uid.as_str().into())
        };
        self.attachments.get(link).is_some_and(known)
    }
}
