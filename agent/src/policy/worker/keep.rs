//! Keeps links and maps as they should be.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fairlead_netpol_datapath::node_table;
use fairlead_netpol_model::tables::{IfIndex, Write};

use super::{RETRY, Worker, now, sets};
use crate::reconcile::Notice;

/// How long packets that were being judged when something was written may still look at what it replaced.
const GRACE_PERIOD: Duration = Duration::from_millis(20);

impl Worker {
    /// Compares links and notes with what is known of them.
    pub(super) fn check(&mut self) {
        let now = Instant::now();
        self.check_at = now + self.setup.period;
        let noted = self.all_links().and_then(|links| {
            self.take_notes(&links, None)?;
            Ok(links)
        });
        self.flush();
        let pods: BTreeSet<IfIndex> = self.attachments.iter().map(|(link, _)| link).collect();
        let (Some(datapath), Some(netlink)) = (&mut self.datapath, &mut self.netlink) else {
            return;
        };
        let bridges = self.attachments.bridges();
        let checked = noted.and_then(|links| {
            let sockets = (netlink, links.as_slice());
            self.links.check(datapath, sockets, &pods, &bridges)
        });
        self.link_errors.clear();
        match checked {
            Ok(checked) => {
                let metrics = &self.setup.metrics;
                metrics.wrote("filter", checked.attached, false);
                metrics.wrote("filter", checked.repaired.len(), true);
                if checked.attached + checked.repaired.len() > 0 {
                    self.wrote_at = Instant::now();
                }
                for link in &checked.repaired {
                    tracing::warn!(link, "somebody removed policy programs; they are back");
                }
                self.repaired
                    .retain(|_, at| now.duration_since(*at) < self.setup.period);
                self.repaired
                    .extend(checked.repaired.into_iter().map(|link| (link, now)));
                self.link_errors
                    .extend(checked.errors.iter().map(ToString::to_string));
                let table = node_table(datapath.node_program(), &checked.bridges);
                if self.setup.rule.want(table) {
                    let _ = self.setup.notices.blocking_send(vec![Notice::Rules]);
                }
            }
            Err(error) => {
                let text = self.failed(&error);
                self.link_errors.push(text);
            }
        }
        if !self.link_errors.is_empty() {
            self.check_at = Instant::now() + RETRY;
        }
    }

    /// Writes all changes since the last time.
    pub(super) fn flush(&mut self) {
        self.flush_at = None;
        let Some(datapath) = self.datapath.as_mut().filter(|_| self.enforcing) else {
            return;
        };
        if self.failing.is_some() {
            let _ = self.compiler.take_update();
            self.resync();
            self.flush_at = self.failing.is_some().then(|| Instant::now() + RETRY);
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
                for write in &update.writes {
                    if let Write::Endpoint(link, Some(endpoint)) = write {
                        self.attachments.judge(*link, sets(endpoint), now());
                    }
                }
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
}
