//! LVM's metadata area: text of all volumes of a group, twice, in a few hundred KiB to some MiB.
//!
//! When it is full LVM refuses every change with "metadata too large", also removals of tags. So the
//! area is watched and new volumes are refused first.

use crate::space::Full;

/// The header of an area (`MDA_HEADER_SIZE` of LVM's `lib/format_text/layout.h`).
const HEADER: u64 = 512;
/// Metadata is written in whole sectors, and the text before stays until the new one stands.
const SECTOR: u64 = 512;
/// What LVM writes about a thin or linear LV beside its name, host and tags: keys, id, status, flags,
/// times and one segment.
const FIXED: u64 = 360;
/// A tag's quotes and separator.
const TAG: u64 = 4;
/// Kept for changes to what stands: tags that grow, pools that take segments.
const KEPT_PERCENT: u64 = 5;
/// From here on the area is reported.
pub const WARN_PERCENT: u64 = 80;

/// The smallest metadata area of a group's physical volumes, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    /// Size of the whole area (`pv_mda_size`).
    pub size: u64,
    /// Length of the text that is in it.
    pub used: u64,
}

impl Area {
    /// Bytes that the text can have: the area holds the old text and the new one.
    #[must_use]
    pub fn usable(&self) -> u64 {
        let half = self.size.saturating_sub(HEADER) / 2;
        half / SECTOR * SECTOR
    }

    /// Used hundredths of [`Area::usable`].
    #[must_use]
    pub fn percent(&self) -> u64 {
        self.used.saturating_mul(100) / self.usable().max(1)
    }

    /// Whether the area is to be reported.
    #[must_use]
    pub fn is_nearly_full(&self) -> bool {
        self.percent() >= WARN_PERCENT
    }

    /// How many more LVs of `each` bytes fit.
    #[must_use]
    pub fn more(&self, each: u64) -> u64 {
        let room = self.usable() / 100 * (100 - KEPT_PERCENT);
        room.saturating_sub(self.used) / each.max(1)
    }

    /// Checks that one more LV of `each` bytes fits.
    ///
    /// # Errors
    /// It does not.
    pub fn admit(&self, each: u64) -> Result<(), Full> {
        if self.more(each) == 0 {
            return Err(Full::MetadataArea {
                used: self.used,
                usable: self.usable(),
                needed: each,
            });
        }
        Ok(())
    }
}

/// Bytes that an LV takes in the text, at most: one segment, a pool's or origin's name of usual length.
#[must_use]
pub fn lv_bytes<'a>(name: &str, host: &str, tags: impl IntoIterator<Item = &'a str>) -> u64 {
    let length = |text: &str| u64::try_from(text.len()).unwrap_or(u64::MAX);
    let tags: u64 = tags.into_iter().map(|tag| length(tag) + TAG).sum();
    FIXED + length(name) + length(host) + tags
}

/// Bytes of a usual volume of Kubernetes: a name `pvc-<UUID>` and a class with few parameters.
pub const USUAL: u64 = 560;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CoName, Fs, FsState, Kind, Limits, Parameters, Record};

    /// As LVM 2.03.16 writes it (`vgcfgbackup` without comments and indents).
    const TEXT: &str = "vol-abcdefghijkl {\nid = \"ZfT3s0-h8hY-c2mR-9vQ1-bNwE-7uKp-LjXaG5\"\n\
        status = [\"READ\", \"WRITE\", \"VISIBLE\"]\nflags = [\"ACTIVATION_SKIP\"]\ntags = [TAGS]\n\
        creation_time = 1795485794\ncreation_host = \"node-17.example.org\"\nsegment_count = 1\n\n\
        segment1 {\nstart_extent = 0\nextent_count = 25600\n\ntype = \"thin\"\n\
        thin_pool = \"fairlead-pool\"\ntransaction_id = 1234\ndevice_id = 1234\n\
        origin = \"vol-abcdefghijkl\"\n}\n}\n\n";

    fn tags() -> Vec<String> {
        let record = Record {
            kind: Kind::Volume,
            cluster: "0b6e3c3e-8f0a-4f5e-9d4a-3f2b1c0d9e8f".to_owned(),
            name: CoName::new("pvc-0b6e3c3e-8f0a-4f5e-9d4a-3f2b1c0d9e8f").unwrap(),
            wanted: 107_374_182_400,
            parameters: Parameters::default(),
            source: None,
            making: false,
            fs: FsState::Formatted(Fs::Ext4),
            put_aside: None,
            limits: Limits::default(),
            group: None,
        };
        record.tags().unwrap().into_iter().collect()
    }

    #[test]
    fn the_estimate_is_not_below_what_lvm_writes() {
        let tags = tags();
        let quoted: Vec<_> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
        let written = TEXT.replace("TAGS", &quoted.join(", ")).len() as u64;
        let estimate = lv_bytes(
            "vol-abcdefghijkl",
            "node-17.example.org",
            tags.iter().map(String::as_str),
        );
        assert!(
            (written..written + 60).contains(&estimate),
            "{estimate} for {written}"
        );
        assert!(estimate <= USUAL, "{estimate}");
    }

    #[test]
    fn the_default_area_is_too_small_and_the_advised_one_holds_four_thousand() {
        let more = |size| Area { size, used: 2000 }.more(USUAL);
        assert_eq!(more(1020 << 10), 881);
        assert!(more(8 << 20) > 4000);
    }

    #[test]
    fn a_full_area_is_reported_first_and_then_refused_in_words() {
        let area = |used| Area {
            size: 1 << 20,
            used,
        };
        assert_eq!(area(0).usable(), 523_776);
        assert!(!area(410_000).is_nearly_full() && area(420_000).is_nearly_full());
        assert_eq!(area(420_000).admit(USUAL), Ok(()));
        assert_eq!(
            area(510_000).admit(USUAL).unwrap_err().to_string(),
            "the volume group's metadata area is full: 510000 of 523776 bytes are used and a volume \
             takes about 560; see the page on storage, preparing disks"
        );
    }
}
