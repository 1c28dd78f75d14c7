//! What must be true of volumes and snapshots, from a journal of what was asked and answered.
//!
//! A step is written down before it is asked for, its answer after it came. So whatever instant the machine dies
//! at, at most the last step of a journal is open: it may have happened or not.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::call::{Access, Told};
use super::data::PARTS;

/// A change that is asked for. Objects go by their CO's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    Create {
        name: String,
        bytes: u64,
        access: Access,
        thick: bool,
        from: Option<String>,
    },
    Snapshot {
        name: String,
        of: String,
    },
    Expand {
        name: String,
        bytes: u64,
    },
    Delete {
        name: String,
    },
    Write {
        name: String,
        part: u8,
        seed: u64,
    },
}

/// A line of a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Line {
    Step(Step),
    Done(Option<Told>),
}

/// A volume or snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) snapshot: bool,
    /// Known once it was answered.
    pub(crate) id: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) access: Access,
    pub(crate) thick: bool,
    /// What its parts hold; `None` is anything.
    pub(crate) parts: [Option<u64>; PARTS as usize],
}

/// What one line of steps has made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) items: BTreeMap<String, Item>,
    pub(crate) open: Option<Step>,
    /// Steps that were answered.
    pub(crate) done: u64,
}

impl Model {
    fn item(&mut self, name: &str) -> Result<&mut Item> {
        self.items
            .get_mut(name)
            .with_context(|| format!("the journal has no {name}"))
    }

    fn begin(&mut self, step: &Step) -> Result<()> {
        if let Step::Write { name, part, .. } = step {
            self.item(name)?.parts[usize::from(*part)] = None;
        }
        self.open = Some(step.clone());
        Ok(())
    }

    fn end(&mut self, told: Option<Told>) -> Result<()> {
        self.done += 1;
        match self.open.take().context("an answer without a step")? {
            Step::Create {
                name,
                bytes,
                access,
                thick,
                from,
            } => {
                let parts = match &from {
                    Some(from) => self.item(from)?.parts,
                    None => [None; PARTS as usize],
                };
                let item = Item {
                    name,
                    snapshot: false,
                    id: told.map(|it| it.id),
                    bytes,
                    access,
                    thick,
                    parts,
                };
                self.items.insert(item.name.clone(), item);
            }
            Step::Snapshot { name, of } => {
                let mut item = self.item(&of)?.clone();
                item.name.clone_from(&name);
                item.snapshot = true;
                item.id = told.map(|it| it.id);
                self.items.insert(name, item);
            }
            Step::Expand { name, bytes } => self.item(&name)?.bytes = bytes,
            Step::Delete { name } => drop(self.items.remove(&name)),
            Step::Write { name, part, seed } => {
                self.item(&name)?.parts[usize::from(part)] = Some(seed);
            }
        }
        Ok(())
    }

    /// What is wrong with what the driver lists: something is lost, or has another size.
    pub(crate) fn missing(&self, listed: &BTreeMap<String, Told>) -> Vec<String> {
        let mut wrong = Vec::new();
        for item in self.items.values() {
            let open = match &self.open {
                Some(Step::Delete { name } | Step::Expand { name, .. }) => *name == item.name,
                _ => false,
            };
            let told = item.id.as_ref().and_then(|id| listed.get(id));
            match told {
                None if open && matches!(self.open, Some(Step::Delete { .. })) => {}
                None => wrong.push(format!("{} is not listed: {item:?}", item.name)),
                Some(told) if !open && told.bytes != i64::try_from(item.bytes).unwrap_or(-1) => {
                    wrong.push(format!(
                        "{} has {} bytes, not {}",
                        item.name, told.bytes, item.bytes
                    ));
                }
                Some(_) => {}
            }
        }
        wrong
    }

    /// Whether the open step may have made something.
    pub(crate) fn may_have_one_more(&self) -> bool {
        matches!(self.open, Some(Step::Create { .. } | Step::Snapshot { .. }))
    }
}

/// A journal as it was when `done` of its steps were answered: the next one may have been asked for.
#[must_use]
pub fn cut(journal: &str, done: usize) -> &str {
    let end = journal.match_indices('\n').nth(2 * done);
    end.map_or(journal, |(at, _)| &journal[..=at])
}

/// A journal, and the model that it makes.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    pub(crate) model: Model,
}

impl Journal {
    /// Opens a journal, and reads what is in it. A last line that is cut off was never acted upon.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut model = Model::default();
        for line in text[..whole].lines() {
            match serde_json::from_str(line)
                .with_context(|| format!("a line of a journal: {line}"))?
            {
                Line::Step(step) => model.begin(&step)?,
                Line::Done(told) => model.end(told)?,
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole.try_into()?)?;
        Ok(Self { file, model })
    }

    /// Notes what is going to be asked for.
    pub(crate) fn begin(&mut self, step: &Step) -> Result<()> {
        if let Some(open) = &self.model.open {
            bail!("{step:?} begins while {open:?} is open");
        }
        self.write(&Line::Step(step.clone()))?;
        self.model.begin(step)
    }

    /// Notes that the open step was answered.
    pub(crate) fn end(&mut self, told: Option<Told>) -> Result<()> {
        self.write(&Line::Done(told.clone()))?;
        self.model.end(told)
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data().context("the journal")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(id: &str) -> Told {
        Told {
            id: id.to_owned(),
            bytes: 8,
            source: None,
            created: 0,
            ready: true,
            abnormal: None,
        }
    }

    fn create(name: &str, from: Option<&str>) -> Step {
        Step::Create {
            name: name.to_owned(),
            bytes: 8,
            access: Access::block(),
            thick: false,
            from: from.map(str::to_owned),
        }
    }

    #[test]
    fn a_journal_that_is_cut_off_anywhere_has_at_most_one_open_step() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path).unwrap();
        let write = |part, seed| Step::Write {
            name: "a".to_owned(),
            part,
            seed,
        };
        let steps = [
            (create("a", None), Some(told("1"))),
            (write(0, 7), None),
            (
                Step::Snapshot {
                    name: "s".to_owned(),
                    of: "a".to_owned(),
                },
                Some(told("2")),
            ),
            (write(0, 8), None),
            (create("b", Some("s")), Some(told("3"))),
            (
                Step::Delete {
                    name: "a".to_owned(),
                },
                None,
            ),
        ];
        for (step, told) in &steps {
            journal.begin(step).unwrap();
            journal.end(told.clone()).unwrap();
        }
        let names: Vec<&String> = journal.model.items.keys().collect();
        assert_eq!(names, ["b", "s"]);
        assert_eq!(journal.model.items["b"].parts, [Some(7), None, None, None]);
        let text = std::fs::read(&path).unwrap();
        for length in (0..=text.len()).step_by(11) {
            std::fs::write(&path, &text[..length]).unwrap();
            let model = Journal::open(&path).unwrap().model;
            let lines = text[..length].split(|byte| *byte == b'\n').count() as u64 - 1;
            assert_eq!(
                (model.done, model.open.is_some()),
                (lines / 2, lines % 2 == 1)
            );
        }
        let text = String::from_utf8(text).unwrap();
        for (done, open) in [(0, true), (2, true), (6, false)] {
            std::fs::write(&path, cut(&text, done)).unwrap();
            let model = Journal::open(&path).unwrap().model;
            assert_eq!((model.done, model.open.is_some()), (done as u64, open));
        }
    }

    #[test]
    fn what_was_answered_must_be_listed_and_what_is_open_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("journal")).unwrap();
        journal.begin(&create("a", None)).unwrap();
        assert!(journal.model.may_have_one_more());
        assert_eq!(journal.model.missing(&BTreeMap::new()), [""; 0]);
        journal.end(Some(told("1"))).unwrap();
        assert_eq!(journal.model.missing(&BTreeMap::new()).len(), 1);
        let listed = BTreeMap::from([("1".to_owned(), told("1"))]);
        assert_eq!(journal.model.missing(&listed), [""; 0]);
        journal
            .begin(&Step::Delete {
                name: "a".to_owned(),
            })
            .unwrap();
        assert_eq!(journal.model.missing(&BTreeMap::new()), [""; 0]);
        assert_eq!(journal.model.missing(&listed), [""; 0]);
    }
}
