//! From a class's words to checked parameters.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Encryption, Fs, Layout, ParameterError, Parameters, Reserve, WhenFull, Wipe};
use crate::quantity;

/// What Kubernetes' sidecars add for themselves; the specification of the keys is theirs.
pub(crate) const KUBERNETES: &str = "csi.storage.k8s.io/";
const FSTYPE: &str = "csi.storage.k8s.io/fstype";
/// So that the words and everything else fit into one tag, each byte as three.
const LONGEST_OPTIONS: usize = 200;
const KEYS: &str = "class, vg, thin, pool, raid, stripes, integrity, chunk, fs, mkfsOptions, encryption, wipe, \
                    whenFull and reserve are known";

type Checked<T> = Result<T, ParameterError>;

/// The parameters as they are taken one after another; what is left over is unknown.
struct Words<'a>(BTreeMap<&'a str, &'a str>);

pub(crate) fn refused<T>(key: &str, value: &str, allowed: impl Into<String>) -> Checked<T> {
    Err(ParameterError {
        key: key.to_owned(),
        value: value.to_owned(),
        allowed: allowed.into(),
    })
}

impl<'a> Words<'a> {
    /// Takes a key and reads its value.
    fn take<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&'a str) -> Option<T>,
        allowed: &str,
    ) -> Checked<Option<T>> {
        let Some(value) = self.0.remove(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => refused(key, value, format!("{allowed} is allowed")),
        }
    }

    fn name(&mut self, key: &str) -> Checked<Option<String>> {
        let allowed =
            "a name of LVM (1 to 127 letters, digits, '_', '.', '+' and '-', no '-' first)";
        self.take(
            key,
            |value| is_lvm_name(value).then(|| value.to_owned()),
            allowed,
        )
    }

    fn switch(&mut self, key: &str) -> Checked<Option<bool>> {
        self.take(key, |value| value.parse().ok(), "true or false")
    }

    /// Refuses a key that says nothing beside the others.
    fn none(&mut self, key: &str, why: &str) -> Checked<()> {
        match self.0.remove(key) {
            None => Ok(()),
            Some(value) => refused(key, value, why),
        }
    }
}

/// Whether LVM takes a name for a volume group or logical volume (`validate_name` of `lib/misc/lvm-string.c`).
#[must_use]
pub fn is_lvm_name(text: &str) -> bool {
    (1..=127).contains(&text.len())
        && !text.starts_with('-')
        && text != "."
        && text != ".."
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte))
}

pub(super) fn parameters(given: &BTreeMap<String, String>) -> Checked<Parameters> {
    let mut words = Words(
        given
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect(),
    );
    let class = words.name("class")?;
    if class.is_some() {
        words.none(
            "vg",
            "class names the volume group already: give class or vg, not both",
        )?;
    }
    let vg = words.name("vg")?;
    let layout = layout(&mut words)?;
    let fs = fs(&mut words)?;
    let encryption = words.take("encryption", encryption, "none or luks2")?;
    let wipe = words.take("wipe", wipe, "none or delete")?;
    let mkfs_options = words.take(
        "mkfsOptions",
        mkfs_options,
        "up to 200 bytes of words with no '/', quotes, control characters, -U or uuid (the driver gives each file system its UUID)",
    )?;
    let unknown = words.0.iter().find(|(key, _)| !key.starts_with(KUBERNETES));
    if let Some((key, value)) = unknown {
        return refused(
            key,
            value,
            format!("not a parameter of this driver: {KEYS}"),
        );
    }
    Ok(Parameters {
        class,
        vg,
        layout,
        fs,
        mkfs_options: mkfs_options.unwrap_or_default(),
        encryption: encryption.unwrap_or_default(),
        wipe: wipe.unwrap_or_default(),
    })
}

fn layout(words: &mut Words<'_>) -> Checked<Layout> {
    let thin = words.switch("thin")?;
    let raid = words.take("raid", raid, "none, raid1 or raid5")?;
    let thick = raid.is_some_and(|raid| raid != "none")
        || words.0.contains_key("stripes")
        || words.0.contains_key("integrity");
    if thin.unwrap_or(!thick) {
        return thin_layout(words, raid);
    }
    for key in ["pool", "chunk", "whenFull", "reserve"] {
        words.none(
            key,
            "only thin volumes have a pool: set thin to true, or leave this away",
        )?;
    }
    if raid == Some("raid1") {
        words.none(
            "stripes",
            "raid1 has two copies and no stripes: leave this away",
        )?;
    }
    let stripes = words.take("stripes", |value| within(value, 1..=32), "1 to 32")?;
    if raid.is_none_or(|raid| raid == "none") {
        words.none(
            "integrity",
            "integrity needs raid1 or raid5, which can repair what it finds",
        )?;
        if stripes.unwrap_or(1) == 1 {
            return Ok(Layout::Linear);
        }
    }
    let integrity = words.switch("integrity")?.unwrap_or(false);
    match (raid, stripes) {
        (Some("raid1"), _) => Ok(Layout::Raid1 { integrity }),
        (Some("raid5"), Some(1)) => refused(
            "stripes",
            "1",
            "raid5 needs 2 to 32, and one disk more for parity",
        ),
        (Some("raid5"), stripes) => Ok(Layout::Raid5 {
            stripes: stripes.unwrap_or(2),
            integrity,
        }),
        (_, stripes) => Ok(Layout::Striped {
            stripes: stripes.unwrap_or(2),
        }),
    }
}

fn thin_layout(words: &mut Words<'_>, raid: Option<&str>) -> Checked<Layout> {
    let pool_decides = "a thin volume lies as its pool does: set thin to false, or leave this away";
    if let Some(raid) = raid.filter(|raid| *raid != "none") {
        return refused("raid", raid, pool_decides);
    }
    words.none("stripes", pool_decides)?;
    words.none("integrity", pool_decides)?;
    Ok(Layout::Thin {
        pool: words.name("pool")?,
        chunk: words.take("chunk", chunk, "a multiple of 64Ki up to 1Gi")?,
        when_full: words.take("whenFull", when_full, "queue or error")?,
        reserve: words.take("reserve", Reserve::from_text, "0% to 90% or a size")?,
    })
}

fn fs(words: &mut Words<'_>) -> Checked<Option<Fs>> {
    let allowed = "ext4, xfs or btrfs";
    let fs = words.take("fs", Fs::from_name, allowed)?;
    // An empty fstype is how the orchestrator says that it names none.
    if words.0.get(FSTYPE).is_some_and(|value| value.is_empty()) {
        words.0.remove(FSTYPE);
    }
    let fstype = words.take(FSTYPE, Fs::from_name, allowed)?;
    match (fs, fstype) {
        (Some(fs), Some(fstype)) if fs != fstype => refused(
            "fs",
            fs.as_str(),
            format!("{FSTYPE} says {fstype}: both have to name the same"),
        ),
        (fs, fstype) => Ok(fs.or(fstype)),
    }
}

fn raid(value: &str) -> Option<&str> {
    ["none", "raid1", "raid5"].contains(&value).then_some(value)
}

fn encryption(value: &str) -> Option<Encryption> {
    match value {
        "none" => Some(Encryption::None),
        "luks2" => Some(Encryption::Luks2),
        _ => None,
    }
}

fn wipe(value: &str) -> Option<Wipe> {
    match value {
        "none" => Some(Wipe::None),
        "delete" => Some(Wipe::Delete),
        _ => None,
    }
}

fn when_full(value: &str) -> Option<WhenFull> {
    match value {
        "queue" => Some(WhenFull::Queue),
        "error" => Some(WhenFull::Error),
        _ => None,
    }
}

fn within(value: &str, range: RangeInclusive<u32>) -> Option<u32> {
    value.parse().ok().filter(|number| range.contains(number))
}

fn chunk(value: &str) -> Option<u64> {
    let bytes = quantity::bytes(value).ok()?;
    (bytes > 0 && bytes % (64 << 10) == 0 && bytes <= 1 << 30).then_some(bytes)
}

/// Words go to mkfs as they are and never through a shell. A path could name another device.
fn mkfs_options(value: &str) -> Option<Vec<String>> {
    let words: Vec<_> = value
        .split(' ')
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect();
    let bad = value.len() > LONGEST_OPTIONS
        || value
            .chars()
            .any(|c| c.is_control() || "/'\"\\".contains(c))
        || words
            .iter()
            .any(|word| word.starts_with("-U") || word.contains("uuid"));
    (!bad).then_some(words)
}
