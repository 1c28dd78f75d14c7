//! The formatting rule: a volume is formatted only if its tag says that it never was, and an error-free
//! probe shows nothing, or nothing but what our own interrupted `mkfs` has left: that bears the UUID that it was given, or,
//! where the tag says that it had begun, no name.

use std::fmt;

use crate::fs_type::FsType;
use crate::probe::{Kind, Probe, Signature};
use crate::uuid::Uuid;

/// What a volume's tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Formatted {
    /// Nobody has had it yet.
    Never,
    /// Nobody has had it yet, and formatting has begun.
    Begun,
    /// It holds this file system.
    As(FsType),
    /// It holds this file system, and its source has the same UUID.
    Copied(FsType),
    /// It was given out as a raw block device.
    Raw,
}

impl fmt::Display for Formatted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("not formatted yet"),
            Self::Begun => f.write_str("being formatted for the first time"),
            Self::As(fs) => write!(f, "formatted as {fs}"),
            Self::Copied(fs) => write!(f, "a copy that holds {fs}"),
            Self::Raw => f.write_str("used as a raw block device"),
        }
    }
}

/// What the request needs on the LV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The file system; none for raw block.
    pub fs: Option<FsType>,
    /// The UUID that our own `mkfs` and `luksFormat` write: [`Uuid::derived`] of the LV's.
    pub uuid: Uuid,
    /// Whether there has to be LUKS below.
    pub encrypted: bool,
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Format: nothing of anybody is there.
    Format,
    /// Use what is there.
    Use {
        /// The file system inside; none for raw block.
        fs: Option<FsType>,
        /// It has its source's UUID and needs its own before the first mount.
        copied: bool,
    },
    /// Leave it alone, for this reason.
    Refuse(String),
}

/// Decides from the tag and a probe of the LV itself (below LUKS, where there is LUKS).
#[must_use]
pub fn decide(state: Formatted, wanted: &Wanted, seen: &Probe) -> Decision {
    match (state, wanted.fs) {
        (Formatted::Never | Formatted::Begun, None) if !wanted.encrypted => never_raw(state, seen),
        (Formatted::Never | Formatted::Begun, _) => never(state, wanted, seen),
        (Formatted::As(there), Some(fs)) => formatted(there, fs, false, state, wanted, seen),
        (Formatted::Copied(there), Some(fs)) => formatted(there, fs, true, state, wanted, seen),
        (Formatted::Raw, None) => raw(wanted, seen),
        (Formatted::Raw, Some(fs)) => Decision::Refuse(format!(
            "its tag says that it is {state}, and {fs} was asked for; ask for it as a block device"
        )),
        (Formatted::As(_) | Formatted::Copied(_), None) => Decision::Refuse(format!(
            "its tag says that it is {state}, and a raw block device was asked for; ask for it as a \
             file system"
        )),
    }
}

/// Raw and plain: its user sees exactly the bytes, so whatever is there is no hindrance for us; but
/// bytes on a volume that nobody has had mean that it is not ours to give.
fn never_raw(state: Formatted, seen: &Probe) -> Decision {
    match foreign(seen, |_| false) {
        None => Decision::Use {
            fs: None,
            copied: false,
        },
        Some(signature) => Decision::Refuse(not_blank(state, signature)),
    }
}

fn never(state: Formatted, wanted: &Wanted, seen: &Probe) -> Decision {
    let ours = |signature: &Signature| {
        let kind = if wanted.encrypted {
            matches!(signature.kind, Kind::Luks { version: 2 })
        } else {
            FsType::ALL.into_iter().any(|fs| signature.kind.is(fs))
        };
        // The second header of LUKS2 carries no UUID that we read; it is written after the first.
        let second = wanted.encrypted
            && !signature.complete
            && seen
                .luks()
                .is_some_and(|first| first.uuid == Some(wanted.uuid));
        let nameless = state == Formatted::Begun && signature.kind == Kind::Unknown;
        nameless || kind && (signature.uuid == Some(wanted.uuid) || second)
    };
    match foreign(seen, ours) {
        None => Decision::Format,
        Some(signature) => Decision::Refuse(not_blank(state, signature)),
    }
}

fn foreign(seen: &Probe, ours: impl Fn(&Signature) -> bool) -> Option<&Signature> {
    seen.found.iter().find(|signature| !ours(signature))
}

fn not_blank(state: Formatted, signature: &Signature) -> String {
    format!(
        "its tag says that it is {state}, but the device shows {signature}; somebody else has \
         written to it: save what is of value, then clear it by hand (wipefs) or delete the volume"
    )
}

fn formatted(
    there: FsType,
    fs: FsType,
    copied: bool,
    state: Formatted,
    wanted: &Wanted,
    seen: &Probe,
) -> Decision {
    if there != fs {
        return Decision::Refuse(format!(
            "its tag says that it is {state}, and {fs} was asked for; ask for {there}"
        ));
    }
    let as_tagged = if wanted.encrypted {
        seen.luks().is_some_and(|luks| luks.offset == 0)
    } else {
        seen.file_system(there).is_some_and(|found| found.complete)
    };
    if as_tagged {
        return Decision::Use {
            fs: Some(there),
            copied,
        };
    }
    let expected = if wanted.encrypted {
        "LUKS2".to_owned()
    } else {
        there.to_string()
    };
    Decision::Refuse(format!(
        "its tag says that it is {state}, so {expected} has to be there, but the device shows {seen}; \
         it is not formatted again: its content was damaged or replaced, restore it from a snapshot or \
         a backup"
    ))
}

fn raw(wanted: &Wanted, seen: &Probe) -> Decision {
    if wanted.encrypted && seen.luks().is_none_or(|luks| luks.offset != 0) {
        return Decision::Refuse(format!(
            "its class has encryption, so LUKS2 has to be there, but the device shows {seen}; it is not \
             formatted again"
        ));
    }
    Decision::Use {
        fs: None,
        copied: false,
    }
}

#[cfg(test)]
mod tests;
