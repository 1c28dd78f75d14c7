//! What an LV's tags say of it, and the codec between both.
//!
//! Tags begin with `fl.`; all others belong to somebody else and are neither read nor written. A tag
//! below `fl.` whose key is not known comes from another version and is left alone too.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::tag::{self, MAX_TAG};
use crate::{CoName, Fs, Limits, LvUuid, NameError, ParameterError, Parameters, TagError};

const KIND: &str = "fl.k";
const CLUSTER: &str = "fl.c";
const NAME: &str = "fl.n";
const WANTED: &str = "fl.z";
const PARAMETERS: &str = "fl.p";
const SOURCE: &str = "fl.src";
const STATE: &str = "fl.s";
const FS: &str = "fl.fs";
const PUT_ASIDE: &str = "fl.d";
const LIMITS: &str = "fl.q";
const GROUP: &str = "fl.g";
const KEYS: [&str; 11] = [
    KIND, CLUSTER, NAME, WANTED, PARAMETERS, SOURCE, STATE, FS, PUT_ASIDE, LIMITS, GROUP,
];

/// What an LV is to the orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A volume.
    Volume,
    /// A snapshot.
    Snapshot,
}

impl Kind {
    /// The tag's value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Volume => "vol",
            Self::Snapshot => "snap",
        }
    }
}

/// What lies on the LV, as far as this driver put it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FsState {
    /// Never formatted: nothing may be there.
    Never,
    /// Being formatted for the first time; set before the first byte is written. Nobody has had it yet.
    Begun,
    /// Formatted; set before the first mount.
    Formatted(Fs),
    /// Formatted, and carries the UUIDs of its source: they are made new before the first mount.
    Inherited(Fs),
    /// Given to a pod as a block device: what is on it is the pod's.
    Raw,
}

/// What an LV was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// A snapshot or a volume.
    pub kind: Kind,
    /// Its LV; it may be gone since.
    pub lv: LvUuid,
}

/// A snapshot's place among those that were taken together. The group's id is that of its first snapshot, and
/// so is its state: while that is being made, all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// The first one.
    First,
    /// One of the others; the LV of the first, which may be gone since.
    Of(LvUuid),
}

/// What the tags of an LV of ours say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Volume or snapshot.
    pub kind: Kind,
    /// UID of the cluster that it belongs to.
    pub cluster: String,
    /// The orchestrator's name for it.
    pub name: CoName,
    /// Wanted size in bytes of the LV: one that is smaller is half-made and still has to grow.
    pub wanted: u64,
    /// The class's parameters; of a snapshot, those of its origin.
    pub parameters: Parameters,
    /// What it was made from; of a snapshot, its origin.
    pub source: Option<Source>,
    /// Still being made: may be undone.
    pub making: bool,
    /// What lies on it.
    pub fs: FsState,
    /// Put aside by hand for removal, in seconds since 1970.
    pub put_aside: Option<u64>,
    /// Limits of I/O.
    pub limits: Limits,
    /// Of a snapshot: with which others it was taken; its name is the group's then.
    pub group: Option<Member>,
}

/// Tags that are ours and do not say what they should. Such an LV is listed, never changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A key that each LV of ours has is missing.
    #[error("tag {key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key is there twice, with two values.
    #[error("tag {key} is there twice, with {first:?} and {second:?}")]
    Twice {
        /// The key.
        key: &'static str,
        /// One value.
        first: String,
        /// The other.
        second: String,
    },
    /// A value that no version of the driver wrote.
    #[error("tag {key}={value} is not known: {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What would be.
        allowed: &'static str,
    },
    /// The name is not one that an orchestrator may send.
    #[error("tag fl.n: {0}")]
    Name(#[source] NameError),
    /// The parameters cannot be read.
    #[error("tag fl.p: {0}")]
    Parameters(#[source] ParameterError),
    /// The encoding is broken, or a tag would be longer than LVM takes.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl Record {
    /// Reads the tags of an LV; `None` when it is not one of ours.
    ///
    /// # Errors
    /// Tags of ours that contradict each other or cannot be read.
    pub fn from_tags<'a>(
        tags: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Self>, RecordError> {
        let values = values(tags)?;
        let Some(kind) = values.get(KIND) else {
            return Ok(None);
        };
        let needed = |key| values.get(key).copied().ok_or(RecordError::Missing { key });
        let value = |key, value: &str, allowed| RecordError::Value {
            key,
            value: value.to_owned(),
            allowed,
        };
        let number = |key, text: &str| {
            text.parse::<u64>()
                .map_err(|_| value(key, text, "a whole number"))
        };
        let parameters = values.get(PARAMETERS).copied().unwrap_or_default();
        Ok(Some(Self {
            kind: kind_of(kind).ok_or_else(|| value(KIND, kind, "vol or snap"))?,
            cluster: tag::decode(needed(CLUSTER)?)?,
            name: CoName::new(&tag::decode(needed(NAME)?)?).map_err(RecordError::Name)?,
            wanted: needed(WANTED).and_then(|text| number(WANTED, text))?,
            parameters: Parameters::from_canonical(parameters).map_err(RecordError::Parameters)?,
            source: match values.get(SOURCE) {
                None => None,
                Some(text) => Some(source_of(text).ok_or_else(|| {
                    value(SOURCE, text, "s: or v: and the id of a logical volume")
                })?),
            },
            making: match values.get(STATE) {
                None => false,
                Some(&"making") => true,
                Some(other) => return Err(value(STATE, other, "making")),
            },
            fs: match values.get(FS) {
                None => FsState::Never,
                Some(text) => fs_of(text).ok_or_else(|| {
                    value(
                        FS,
                        text,
                        "none, raw, ext4, xfs or btrfs, the last three also with !",
                    )
                })?,
            },
            put_aside: match values.get(PUT_ASIDE) {
                None => None,
                Some(text) => Some(number(PUT_ASIDE, text)?),
            },
            limits: match values.get(LIMITS) {
                None => Limits::default(),
                Some(text) => Limits::from_tag(text)
                    .ok_or_else(|| value(LIMITS, text, "r, w, R and W with a number each"))?,
            },
            group: match values.get(GROUP) {
                None => None,
                Some(text) => Some(
                    member_of(text)
                        .ok_or_else(|| value(GROUP, text, "first or the id of a logical volume"))?,
                ),
            },
        }))
    }

    /// The tags that say this.
    ///
    /// # Errors
    /// A tag that would be longer than LVM takes.
    pub fn tags(&self) -> Result<BTreeSet<String>, TagError> {
        let mut tags = BTreeSet::new();
        let mut set = |key: &str, what, value: String| {
            let tag = format!("{key}={value}");
            if tag.len() > MAX_TAG {
                return Err(TagError::TooLong {
                    what,
                    length: tag.len(),
                });
            }
            tags.insert(tag);
            Ok(())
        };
        set(KIND, "the kind", self.kind.as_str().to_owned())?;
        set(CLUSTER, "the cluster's id", tag::encode(&self.cluster))?;
        set(NAME, "the name", tag::encode(self.name.as_str()))?;
        set(WANTED, "the size", self.wanted.to_string())?;
        let parameters = self.parameters.canonical();
        if !parameters.is_empty() {
            set(PARAMETERS, "the class's parameters", parameters)?;
        }
        if let Some(Source { kind, lv }) = self.source {
            set(
                SOURCE,
                "the source",
                format!("{}:{lv}", &kind.as_str()[..1]),
            )?;
        }
        if self.making {
            set(STATE, "the state", "making".to_owned())?;
        }
        set(FS, "the file system", fs_tag(self.fs))?;
        if let Some(seconds) = self.put_aside {
            set(PUT_ASIDE, "the time", seconds.to_string())?;
        }
        if self.limits != Limits::default() {
            set(LIMITS, "the limits", self.limits.tag())?;
        }
        if let Some(member) = self.group {
            set(GROUP, "the group", member_tag(member))?;
        }
        Ok(tags)
    }
}

/// Which tags to add and which to remove so that an LV with `actual` tags says `wanted`. Tags of others,
/// and of ours those with unknown keys, stay.
///
/// # Errors
/// A tag that would be longer than LVM takes.
pub fn changes<'a>(
    actual: impl IntoIterator<Item = &'a str>,
    wanted: &Record,
) -> Result<(BTreeSet<String>, BTreeSet<String>), TagError> {
    let mut add = wanted.tags()?;
    let mut remove = BTreeSet::new();
    for tag in actual {
        let ours = tag
            .split_once('=')
            .is_some_and(|(key, _)| KEYS.contains(&key));
        if ours && !add.remove(tag) {
            remove.insert(tag.to_owned());
        }
    }
    Ok((add, remove))
}

/// The values of our keys.
fn values<'a>(
    tags: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<&'static str, &'a str>, RecordError> {
    let mut values = BTreeMap::new();
    for tag in tags {
        let Some((key, value)) = tag.split_once('=') else {
            continue;
        };
        let Some(key) = KEYS.into_iter().find(|known| *known == key) else {
            continue;
        };
        if let Some(first) = values.insert(key, value).filter(|first| *first != value) {
            return Err(RecordError::Twice {
                key,
                first: first.to_owned(),
                second: value.to_owned(),
            });
        }
    }
    Ok(values)
}

fn kind_of(text: &str) -> Option<Kind> {
    [Kind::Volume, Kind::Snapshot]
        .into_iter()
        .find(|kind| kind.as_str() == text)
}

fn source_of(text: &str) -> Option<Source> {
    let (kind, lv) = text.split_once(':')?;
    let kind = [Kind::Volume, Kind::Snapshot]
        .into_iter()
        .find(|known| &known.as_str()[..1] == kind)?;
    Some(Source {
        kind,
        lv: lv.parse().ok()?,
    })
}

fn member_of(text: &str) -> Option<Member> {
    match text {
        "first" => Some(Member::First),
        _ => text.parse().ok().map(Member::Of),
    }
}

fn member_tag(member: Member) -> String {
    match member {
        Member::First => "first".to_owned(),
        Member::Of(lv) => lv.to_string(),
    }
}

fn fs_of(text: &str) -> Option<FsState> {
    match text {
        "none" => Some(FsState::Never),
        "begun" => Some(FsState::Begun),
        "raw" => Some(FsState::Raw),
        _ => match text.strip_suffix('!') {
            Some(name) => Fs::from_name(name).map(FsState::Inherited),
            None => Fs::from_name(text).map(FsState::Formatted),
        },
    }
}

fn fs_tag(state: FsState) -> String {
    match state {
        FsState::Never => "none".to_owned(),
        FsState::Begun => "begun".to_owned(),
        FsState::Raw => "raw".to_owned(),
        FsState::Formatted(fs) => fs.to_string(),
        FsState::Inherited(fs) => format!("{fs}!"),
    }
}
