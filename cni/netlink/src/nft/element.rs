//! Elements of sets and maps.
//!
//! The kernel keeps a range of one field as two elements, its first value and the one after its last;
//! a range of several fields is one element with two keys. Here every range is one [`Element`].

use ipnetwork::IpNetwork;

use super::key::Key;
use super::set::Set;
use super::verdict::{Data, Verdict, put_value, value};
use super::{HEADER, userdata};
use crate::wire::{Attrs, Bytes as _, Writer};

/// `NFTA_SET_ELEM_LIST_*`, and inside an element `NFTA_SET_ELEM_*`.
pub(super) mod attr {
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const SET: u16 = 2;
    pub(crate) const ELEMENTS: u16 = 3;
    pub(crate) const ENTRY: u16 = 1;
    pub(crate) const KEY: u16 = 1;
    pub(crate) const DATA: u16 = 2;
    pub(crate) const FLAGS: u16 = 3;
    pub(crate) const USERDATA: u16 = 6;
    pub(crate) const KEY_END: u16 = 10;
}

/// `NFT_SET_ELEM_INTERVAL_END`, `NFT_SET_ELEM_CATCHALL`.
const INTERVAL_END: u32 = 1;
const CATCH_ALL: u32 = 2;

/// An element: a key or a range of them, with what it carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The key, or the first of a range.
    pub key: Key,
    /// The last of a range.
    pub last: Option<Key>,
    data: Option<Data>,
    /// A text for administrators, cut at 127 bytes.
    pub comment: Option<String>,
}

impl Element {
    /// One key.
    pub fn key(key: impl Into<Key>) -> Self {
        Self {
            key: key.into(),
            last: None,
            data: None,
            comment: None,
        }
    }

    /// All keys from `first` to `last`.
    pub fn range(first: impl Into<Key>, last: impl Into<Key>) -> Self {
        Self {
            last: Some(last.into()),
            ..Self::key(first)
        }
    }

    /// All addresses of a network.
    #[must_use]
    pub fn network(network: IpNetwork) -> Self {
        Self::range(network.network(), network.broadcast())
    }

    /// The same with a text for administrators.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(userdata::clip(&comment.into()).to_owned());
        self
    }

    /// The same, carrying a verdict.
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.data = Some(Data::Verdict(verdict));
        self
    }

    /// The same, carrying a value.
    #[must_use]
    pub fn value(mut self, value: impl Into<Key>) -> Self {
        self.data = Some(Data::Value(value.into()));
        self
    }

    /// The verdict that it carries.
    #[must_use]
    pub fn carried_verdict(&self) -> Option<&Verdict> {
        match &self.data {
            Some(Data::Verdict(verdict)) => Some(verdict),
            _ => None,
        }
    }

    /// The value that it carries.
    #[must_use]
    pub fn carried_value(&self) -> Option<&Key> {
        match &self.data {
            Some(Data::Value(value)) => Some(value),
            _ => None,
        }
    }

    /// Writes the entries of a list that stand for it in `set`.
    pub(super) fn write(&self, w: &mut Writer, set: &Set) {
        let pair = set.is_interval() && !set.is_interval_concatenation();
        w.nest(attr::ENTRY, |w| {
            put_value(w, attr::KEY, self.key.bytes());
            if set.is_interval_concatenation() {
                put_value(
                    w,
                    attr::KEY_END,
                    self.last.as_ref().unwrap_or(&self.key).bytes(),
                );
            }
            if let Some(data) = &self.data {
                data.write(w, attr::DATA);
            }
            userdata::put(
                w,
                attr::USERDATA,
                userdata::COMMENT,
                self.comment.as_deref(),
            );
        });
        // A range up to the highest value has no end.
        if let Some(end) = self
            .last
            .as_ref()
            .unwrap_or(&self.key)
            .next()
            .filter(|_| pair)
        {
            w.nest(attr::ENTRY, |w| {
                put_value(w, attr::KEY, end.bytes());
                w.be32(attr::FLAGS, INTERVAL_END);
            });
        }
    }
}

/// An entry as it stands in the kernel.
#[derive(Debug)]
pub(super) struct Entry {
    element: Element,
    end: bool,
}

/// Reads the entries of one message; `None` when it is malformed.
pub(super) fn read_list(body: &[u8]) -> Option<Vec<Entry>> {
    let list = Attrs::after(body, HEADER)?
        .find(attr::ELEMENTS)
        .unwrap_or_default();
    Some(
        Attrs(list)
            .filter_map(|(_, entry)| read_entry(&Attrs(entry)))
            .collect(),
    )
}

fn read_entry(attrs: &Attrs<'_>) -> Option<Entry> {
    let flags = attrs
        .find(attr::FLAGS)
        .and_then(|flags| flags.be32_at(0))
        .unwrap_or_default();
    let key = match attrs.find(attr::KEY) {
        Some(key) => Key::raw(value(key)?),
        None if flags & CATCH_ALL != 0 => Key::raw(&[]),
        None => return None,
    };
    let last = attrs.find(attr::KEY_END).and_then(value).map(Key::raw);
    let comment = attrs
        .find(attr::USERDATA)
        .and_then(|data| userdata::find(data, userdata::COMMENT));
    let data = attrs.find(attr::DATA).and_then(Data::read);
    Some(Entry {
        element: Element {
            key,
            last,
            data,
            comment,
        },
        end: flags & INTERVAL_END != 0,
    })
}

/// The keys that a message names, the ends of ranges left out.
pub(super) fn keys(body: &[u8]) -> Option<Vec<Key>> {
    let entries = read_list(body)?.into_iter().filter(|entry| !entry.end);
    Some(entries.map(|entry| entry.element.key).collect())
}

/// Makes elements of entries, in order of their keys; of an interval set, each start takes the end that
/// follows it.
pub(super) fn assemble(mut entries: Vec<Entry>, interval: bool) -> Vec<Element> {
    // Where one range ends and the next begins, the end comes first.
    entries.sort_by(|a, b| a.element.key.cmp(&b.element.key).then(b.end.cmp(&a.end)));
    let mut elements: Vec<Element> = Vec::with_capacity(entries.len());
    let mut open = false;
    for entry in entries {
        let Entry { element, end } = entry;
        if !end {
            open = interval && element.last.is_none() && !element.key.bytes().is_empty();
            let last = open.then(|| Key::last_of(element.key.bytes().len()));
            elements.push(Element {
                last: element.last.or(last),
                ..element
            });
        } else if let (true, Some(started)) = (open, elements.last_mut()) {
            started.last = element.key.previous();
            open = false;
        }
    }
    elements
}
