//! Pods on this node's links, and the notes about them: files that the plugin or the agent writes, so that an agent
//! that starts knows whose link is whose.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use fairlead_cni_node::policy::Attach;
use fairlead_netpol_model::cluster::Name;
use fairlead_netpol_model::tables::{Attachment, IfIndex, Link};
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::files;

/// Slots that bridged pods can have.
const SLOTS: std::ops::RangeInclusive<u16> = 1..=0x1fff;

/// The policy sets of a pod, ingress first.
pub(super) type Sets = [Option<u64>; 2];

/// Since when a pod is judged, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Judged {
    /// At all.
    pub(super) since: u64,
    /// By these sets; `None` while nothing is said of it.
    pub(super) by: Option<(Sets, u64)>,
}

/// A note as it is on the disk. The plugin writes it without the time.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    #[serde(flatten)]
    attach: Attach,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    judged: Option<Judged>,
}

/// A pod on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attached {
    /// What is known of it.
    pub(super) note: Attach,
    /// Since when.
    pub(super) judged: Judged,
    /// Its slot, if it is a port of a bridge.
    pub(super) slot: Option<u16>,
}

impl Attached {
    /// The pod's name in the cluster.
    pub(super) fn pod(&self) -> Name {
        Name {
            namespace: self.note.pod.namespace.as_str().into(),
            name: self.note.pod.name.as_str().into(),
        }
    }

    /// As the compiler wants it.
    pub(super) fn attachment(&self) -> Attachment {
        Attachment {
            addresses: self.note.addresses.clone(),
            link: match self.slot {
                Some(slot) => Link::Bridged { slot },
                None => Link::Routed {
                    pod_mac: self.note.pod_mac,
                    host_mac: self.note.host_mac,
                },
            },
        }
    }
}

/// All pods on links.
#[derive(Debug)]
pub(super) struct Attachments {
    folder: PathBuf,
    by_link: BTreeMap<IfIndex, Attached>,
    taken: BTreeSet<u16>,
    /// Links whose notes do not say yet since when their pods are judged.
    unwritten: BTreeSet<IfIndex>,
}

impl Attachments {
    /// None yet; their notes are in `folder`.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            by_link: BTreeMap::new(),
            taken: BTreeSet::new(),
            unwritten: BTreeSet::new(),
        }
    }

    /// Takes one in that is judged from `now` on. `None` when no slot is left for it.
    pub(super) fn insert(&mut self, note: Attach, now: u64) -> Option<&Attached> {
        let link = note.if_index;
        self.release(link);
        let slot = match note.bridge {
            None => None,
            Some(_) => Some(self.slot(link)?),
        };
        self.taken.extend(slot);
        let judged = Judged {
            since: now,
            by: None,
        };
        self.by_link.insert(link, Attached { note, judged, slot });
        self.by_link.get(&link)
    }

    /// Takes from the note about a link since when its pod is judged, if it says so of this very pod.
    pub(super) fn recall(&mut self, link: IfIndex) {
        let Some(on) = self.by_link.get(&link) else {
            return;
        };
        let written = read(&self.path(&on.note.host_link)).filter(|note| note.attach == on.note);
        if let (Some(judged), Some(on)) = (
            written.and_then(|note| note.judged),
            self.by_link.get_mut(&link),
        ) {
            on.judged = judged;
        }
    }

    /// The pod on a link is judged by `sets` at the time `now`.
    pub(super) fn judge(&mut self, link: IfIndex, sets: Sets, now: u64) {
        let Some(on) = self.by_link.get_mut(&link) else {
            return;
        };
        if on.judged.by.is_none_or(|(by, _)| by != sets) {
            on.judged.by = Some((sets, now));
            self.unwritten.insert(link);
        }
    }

    /// Writes to notes since when their pods are judged. A note that is not there is not made.
    pub(super) fn write_times(&mut self) {
        for link in std::mem::take(&mut self.unwritten) {
            if let Some(on) = self.by_link.get(&link)
                && self.path(&on.note.host_link).exists()
            {
                // Without it the next agent says less.
                let _ = self.put(&on.note, Some(on.judged));
            }
        }
    }

    fn release(&mut self, link: IfIndex) -> Option<Attached> {
        let gone = self.by_link.remove(&link)?;
        if let Some(slot) = gone.slot {
            self.taken.remove(&slot);
        }
        Some(gone)
    }

    /// A slot that no other has: that of the link's number where it is free, so that another agent comes to the same.
    fn slot(&self, link: IfIndex) -> Option<u16> {
        let count = u32::from(*SLOTS.end());
        let first = u16::try_from(link.wrapping_sub(1) % count).unwrap_or_default() + 1;
        let mut slots = (first..=*SLOTS.end()).chain(*SLOTS.start()..first);
        slots.find(|slot| !self.taken.contains(slot))
    }

    /// The pod on a link.
    pub(super) fn get(&self, link: IfIndex) -> Option<&Attached> {
        self.by_link.get(&link)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IfIndex, &Attached)> {
        self.by_link
            .iter()
            .map(|(link, attached)| (*link, attached))
    }

    /// The number of the link called `name`.
    pub(super) fn link(&self, name: &str) -> Option<IfIndex> {
        let found = self
            .iter()
            .find(|(_, attached)| attached.note.host_link == name);
        found.map(|(link, _)| link)
    }

    /// Forgets the pod on a link, and its note.
    pub(super) fn remove(&mut self, link: IfIndex) -> Option<Attached> {
        let gone = self.release(link)?;
        // Of a link that came back by the same name the note is another's.
        if self.link(&gone.note.host_link).is_none() {
            let _ = files::remove(&self.path(&gone.note.host_link));
        }
        Some(gone)
    }

    /// Bridges that pods are ports of.
    pub(super) fn bridges(&self) -> BTreeSet<&str> {
        self.by_link
            .values()
            .filter_map(|attached| attached.note.bridge.as_deref())
            .collect()
    }

    fn path(&self, link: &str) -> PathBuf {
        self.folder.join(format!("{link}.json"))
    }

    /// Writes the note about a link, which no restart of the node outlives: nobody waits for the disk.
    pub(super) fn write(&self, note: &Attach) -> Result<(), AgentError> {
        self.put(note, None)
    }

    fn put(&self, note: &Attach, judged: Option<Judged>) -> Result<(), AgentError> {
        let written = Note {
            attach: note.clone(),
            judged,
        };
        let text = serde_json::to_vec(&written).unwrap_or_default();
        files::ensure_until_reboot(&self.path(&note.host_link), &text, 0o600).map(drop)
    }

    /// Whether there is a note about a link that no pod is known to be on.
    pub(super) fn has_news(&self) -> bool {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.any(|name| {
            let link = name
                .strip_suffix(".json")
                .filter(|link| !link.starts_with('.'));
            link.is_some_and(|link| self.link(link).is_none())
        })
    }

    /// All notes there are. One that cannot be read is nobody's.
    pub(super) fn notes(&self) -> Vec<Attach> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let notes = paths.filter(|path| path.extension().is_some_and(|e| e == "json"));
        notes.filter_map(|path| Some(read(&path)?.attach)).collect()
    }
}

fn read(path: &Path) -> Option<Note> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use fairlead_cni_node::policy::PodName;

    use super::*;

    fn note(link: IfIndex, bridge: Option<&str>) -> Attach {
        Attach {
            network: "n".into(),
            container: format!("c{link}"),
            ifname: "eth0".into(),
            host_link: format!("fl{link:012x}"),
            if_index: link,
            pod: PodName {
                namespace: "a".into(),
                name: "b".into(),
            },
            uid: String::new(),
            addresses: vec!["10.0.0.1".parse().unwrap()],
            pod_mac: [2, 0, 0, 0, 0, 1],
            host_mac: [2, 0, 0, 0, 0, 2],
            bridge: bridge.map(str::to_owned),
        }
    }

    #[test]
    fn notes_outlive_the_agent_and_go_with_the_link() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Attachments::new(dir.path().join("attachments"));
        first.write(&note(7, None)).unwrap();
        first.insert(note(7, None), 0).unwrap();
        std::fs::write(dir.path().join("attachments/x.json"), "{").unwrap();
        assert_eq!(
            Attachments::new(dir.path().join("attachments")).notes(),
            [note(7, None)]
        );
        assert_eq!(first.link("fl000000000007"), Some(7));
        first.remove(7).unwrap();
        assert!(first.notes().is_empty());
    }

    #[test]
    fn since_when_a_pod_is_judged_outlives_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = Attachments::new(dir.path().to_owned());
        first.write(&note(7, None)).unwrap();
        first.insert(note(7, None), 100).unwrap();
        first.judge(7, [Some(1), None], 200);
        first.judge(7, [Some(1), None], 300);
        first.write_times();
        let judged = |since, by| Judged { since, by };
        let restart = |note: Attach| {
            let mut next = Attachments::new(dir.path().to_owned());
            next.insert(note, 900).unwrap();
            next.recall(7);
            next
        };
        let mut next = restart(note(7, None));
        let told = |all: &Attachments| all.get(7).unwrap().judged;
        assert_eq!(told(&next), judged(100, Some(([Some(1), None], 200))));
        next.judge(7, [None, None], 950);
        assert_eq!(told(&next), judged(100, Some(([None, None], 950))));
        let mut another = note(7, None);
        another.container = "another".to_owned();
        assert_eq!(told(&restart(another)), judged(900, None));
    }

    #[test]
    fn bridged_pods_have_slots_of_their_own_until_there_are_no_more() {
        let mut all = Attachments::new("/nonexistent".into());
        assert_eq!(all.insert(note(5, None), 0).unwrap().slot, None);
        assert_eq!(all.insert(note(6, Some("cni0")), 0).unwrap().slot, Some(6));
        assert_eq!(
            all.insert(note(6 + 0x1fff, Some("cni0")), 0).unwrap().slot,
            Some(7)
        );
        assert_eq!(all.insert(note(6, Some("cni0")), 0).unwrap().slot, Some(6));
        for link in 100_000..100_000 + 0x1fff - 2 {
            assert!(all.insert(note(link, Some("cni0")), 0).is_some());
        }
        assert!(all.insert(note(1, Some("cni0")), 0).is_none());
        assert_eq!(all.bridges().into_iter().collect::<Vec<_>>(), ["cni0"]);
    }
}
