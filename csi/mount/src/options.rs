//! Mount flags of a request: which are the kernel's, which the file system's, which are refused.

use nix::mount::MsFlags;

use crate::error::{MountError, Result};

/// Checked mount flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOptions {
    /// Whether it is mounted read-only.
    pub read_only: bool,
    flags: MsFlags,
    data: Vec<String>,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            read_only: false,
            flags: MsFlags::empty(),
            data: Vec::new(),
        }
    }
}

impl MountOptions {
    /// From CSI's `mount_flags`; each may hold several options separated by commas. Words for
    /// `/etc/fstab` only (`defaults`, `noauto`, `nofail`, `_netdev`, `x-…`) mean nothing for one mount
    /// and are left out. Words that would make it another operation are refused. All others that the
    /// kernel has no flag for are the file system's to judge.
    pub fn parse(list: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for word in list
            .iter()
            .flat_map(|item| split(item))
            .filter(|word| !word.is_empty())
        {
            options.add(word)?;
        }
        Ok(options)
    }

    fn add(&mut self, word: &str) -> Result<()> {
        let key = word.split('=').next().unwrap_or_default();
        let refused = |legal: &str| {
            Err(MountError::Option {
                what: "mount flag",
                value: word.to_owned(),
                legal: legal.to_owned(),
            })
        };
        if word.chars().any(char::is_control) || REFUSED.contains(&key) {
            return refused("it would make this another operation than to mount the volume");
        }
        // It would take in the words that follow where all are joined.
        if word.matches('"').count() % 2 == 1 {
            return refused("its quotes are not closed");
        }
        if FSTAB_ONLY.contains(&key) || word.starts_with("x-") || word.starts_with("X-") {
            return Ok(());
        }
        match FLAGS.iter().find(|(name, ..)| *name == word) {
            Some((_, flag, true)) => self.flags |= *flag,
            Some((_, flag, false)) => self.flags &= !*flag,
            None => self.data.push(word.to_owned()),
        }
        self.read_only = self.flags.contains(MsFlags::MS_RDONLY);
        Ok(())
    }

    /// The same, read-only.
    #[must_use]
    pub fn as_read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// The same with a word for the file system, once.
    #[must_use]
    pub(crate) fn with(mut self, word: &str) -> Self {
        if !self.data.iter().any(|have| have == word) {
            self.data.push(word.to_owned());
        }
        self
    }

    /// Flags for mount(2).
    pub(crate) fn flags(&self) -> MsFlags {
        let mut flags = self.flags;
        flags.set(MsFlags::MS_RDONLY, self.read_only);
        flags
    }

    /// The flags that belong to one place in the tree rather than to the file system.
    pub(crate) fn per_mount(&self) -> MsFlags {
        self.flags()
            & (MsFlags::MS_RDONLY
                | MsFlags::MS_NOSUID
                | MsFlags::MS_NODEV
                | MsFlags::MS_NOEXEC
                | MsFlags::MS_NOATIME
                | MsFlags::MS_NODIRATIME
                | MsFlags::MS_RELATIME)
    }

    /// What goes to the file system.
    pub(crate) fn data(&self) -> String {
        self.data.join(",")
    }

    /// In mount(8)'s words.
    pub(crate) fn in_words(&self) -> String {
        let flags = self.flags();
        let mut words = vec![if self.read_only { "ro" } else { "rw" }];
        words.extend(
            FLAGS
                .iter()
                .filter(|(name, flag, on)| *on && *name != "ro" && flags.contains(*flag))
                .map(|(name, ..)| *name),
        );
        words.extend(self.data.iter().map(String::as_str));
        words.join(",")
    }
}

/// Splits at commas that stand outside double quotes (`SELinux` contexts hold commas).
fn split(item: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    item.split(move |c: char| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(str::trim)
}

/// The kernel's flags by name: whether the word sets or clears.
const FLAGS: &[(&str, MsFlags, bool)] = &[
    ("ro", MsFlags::MS_RDONLY, true),
    ("rw", MsFlags::MS_RDONLY, false),
    ("nosuid", MsFlags::MS_NOSUID, true),
    ("suid", MsFlags::MS_NOSUID, false),
    ("nodev", MsFlags::MS_NODEV, true),
    ("dev", MsFlags::MS_NODEV, false),
    ("noexec", MsFlags::MS_NOEXEC, true),
    ("exec", MsFlags::MS_NOEXEC, false),
    ("sync", MsFlags::MS_SYNCHRONOUS, true),
    ("async", MsFlags::MS_SYNCHRONOUS, false),
    ("dirsync", MsFlags::MS_DIRSYNC, true),
    ("mand", MsFlags::MS_MANDLOCK, true),
    ("nomand", MsFlags::MS_MANDLOCK, false),
    ("noatime", MsFlags::MS_NOATIME, true),
    ("atime", MsFlags::MS_NOATIME, false),
    ("nodiratime", MsFlags::MS_NODIRATIME, true),
    ("diratime", MsFlags::MS_NODIRATIME, false),
    ("relatime", MsFlags::MS_RELATIME, true),
    ("norelatime", MsFlags::MS_RELATIME, false),
    ("strictatime", MsFlags::MS_STRICTATIME, true),
    ("nostrictatime", MsFlags::MS_STRICTATIME, false),
    ("lazytime", MsFlags::MS_LAZYTIME, true),
    ("nolazytime", MsFlags::MS_LAZYTIME, false),
    ("silent", MsFlags::MS_SILENT, true),
    ("loud", MsFlags::MS_SILENT, false),
    ("iversion", MsFlags::MS_I_VERSION, true),
    ("noiversion", MsFlags::MS_I_VERSION, false),
];

const REFUSED: &[&str] = &[
    "remount",
    "bind",
    "rbind",
    "move",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "private",
    "rprivate",
    "unbindable",
    "runbindable",
    "loop",
    "offset",
    "sizelimit",
    "encryption",
    "user",
    "users",
    "owner",
    "group",
    "source",
    "subdir",
    "helper",
    "logdev",
    "rtdev",
    "journal_dev",
    "journal_path",
    "device",
];

const FSTAB_ONLY: &[&str] = &["defaults", "auto", "noauto", "nofail", "_netdev", "comment"];

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<MountOptions> {
        MountOptions::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn flags_and_data_are_told_apart() {
        let options = parse(&[
            "ro",
            "noatime,discard",
            "data=journal",
            "defaults",
            "x-systemd.automount",
        ]);
        let options = options.unwrap();
        assert!(options.read_only);
        assert_eq!(options.flags(), MsFlags::MS_RDONLY | MsFlags::MS_NOATIME);
        assert_eq!(options.data(), "discard,data=journal");
        assert_eq!(options.in_words(), "ro,noatime,discard,data=journal");
    }

    #[test]
    fn the_last_word_wins() {
        assert!(!parse(&["ro", "rw"]).unwrap().read_only);
        assert!(parse(&["rw", "ro"]).unwrap().read_only);
    }

    #[test]
    fn commas_within_quotes_do_not_split() {
        let options = parse(&["context=\"system_u:object_r:x:s0:c1,c2\",discard"]).unwrap();
        assert_eq!(
            options.data,
            ["context=\"system_u:object_r:x:s0:c1,c2\"", "discard"]
        );
    }

    #[test]
    fn a_quote_that_is_not_closed_is_refused() {
        assert_eq!(
            parse(&["context=\"a", "discard"]).unwrap_err().to_string(),
            "mount flag \"context=\\\"a\" is refused: its quotes are not closed"
        );
    }

    #[test]
    fn another_operation_is_refused_by_name() {
        for word in ["remount", "bind", "loop", "logdev=/dev/sda", "noatime,move"] {
            assert!(parse(&[word]).is_err(), "{word}");
        }
        assert_eq!(
            parse(&["remount"]).unwrap_err().to_string(),
            "mount flag \"remount\" is refused: it would make this another operation than to mount the volume"
        );
    }

    #[test]
    fn whatever_is_taken_reads_the_same_again() {
        bolero::check!()
            .with_type::<Vec<String>>()
            .for_each(|words| {
                if let Ok(options) = MountOptions::parse(words) {
                    let again = MountOptions::parse(&[options.in_words()]);
                    assert_eq!(again.ok().as_ref(), Some(&options), "{words:?}");
                }
            });
    }

    #[test]
    fn a_word_is_added_once() {
        assert_eq!(
            MountOptions::default().with("nouuid").with("nouuid").data(),
            "nouuid"
        );
    }
}
