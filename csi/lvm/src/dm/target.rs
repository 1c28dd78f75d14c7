//! Status lines of the targets: words as in the kernel's `Documentation/admin-guide/device-mapper`.

use crate::{CowStatus, PoolMode, PoolStatus, RaidStatus, ThinStatus};

const SECTOR: u64 = 512;
/// Blocks of a pool's metadata are this large.
const METADATA_BLOCK: u64 = 4096;

/// A target of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// First sector.
    pub(crate) start: u64,
    /// Sectors.
    pub(crate) length: u64,
    /// `linear`, `thin` and so on.
    pub(crate) kind: String,
    /// Its status or its parameters.
    pub(crate) words: String,
}

/// `<used>/<total>`.
fn pair(word: &str) -> Option<(u64, u64)> {
    let (used, total) = word.split_once('/')?;
    Some((used.parse().ok()?, total.parse().ok()?))
}

/// `thin`: `<mapped sectors> <highest>`, or `Fail`, or `Error`.
pub(crate) fn thin(words: &str) -> Option<ThinStatus> {
    let first = words.split_whitespace().next()?;
    let mapped: Option<u64> = first.parse().ok();
    Some(ThinStatus {
        mapped: mapped.unwrap_or_default() * SECTOR,
        failed: mapped.is_none(),
    })
}

/// `thin-pool`: `<transaction> <metadata> <data> <held root|-> <mode> <discards> <when full> <needs check>
/// <low water of the metadata>`, or `Fail`, or `Error`. The table's words are `<metadata> <data> <sectors of a
/// block> <low water in blocks> …`.
pub(crate) fn pool(words: &str, table: &str) -> Option<PoolStatus> {
    let mut table = table.split_whitespace().skip(2).map(str::parse::<u64>);
    let (block, low_water) = (table.next()?.ok()?, table.next()?.ok()?);
    let words: Vec<&str> = words.split_whitespace().collect();
    if let ["Fail" | "Error", ..] = words.as_slice() {
        return Some(PoolStatus {
            transaction_id: 0,
            data_used: 0,
            data_total: 0,
            metadata_used: 0,
            metadata_total: 0,
            low_water: 0,
            mode: PoolMode::Failed,
            needs_check: true,
            queue_when_full: false,
            held_root: None,
        });
    }
    let (metadata, data) = (pair(words.get(1)?)?, pair(words.get(2)?)?);
    Some(PoolStatus {
        transaction_id: words.first()?.parse().ok()?,
        data_used: data.0 * block * SECTOR,
        data_total: data.1 * block * SECTOR,
        metadata_used: metadata.0 * METADATA_BLOCK,
        metadata_total: metadata.1 * METADATA_BLOCK,
        low_water: low_water.checked_mul(block)?.checked_mul(SECTOR)?,
        mode: match *words.get(4)? {
            "rw" => PoolMode::ReadWrite,
            "out_of_data_space" => PoolMode::OutOfDataSpace,
            _ => PoolMode::ReadOnly,
        },
        needs_check: words.contains(&"needs_check"),
        queue_when_full: words.contains(&"queue_if_no_space"),
        held_root: words.get(3)?.parse().ok(),
    })
}

/// `snapshot`: `<used>/<total> <metadata>` in sectors, or `Invalid`, `Overflow`, `Merge failed`.
pub(crate) fn cow(words: &str) -> Option<CowStatus> {
    let first = words.split_whitespace().next()?;
    let fill = pair(first);
    let (used, total) = fill.unwrap_or_default();
    Some(CowStatus {
        used: used * SECTOR,
        total: total * SECTOR,
        invalid: fill.is_none(),
    })
}

/// `raid`: `<level> <devices> <health> <in sync>/<all> <action> <mismatches> …`.
pub(crate) fn raid(words: &str) -> Option<RaidStatus> {
    let words: Vec<&str> = words.split_whitespace().collect();
    Some(RaidStatus {
        health: (*words.get(2)?).to_owned(),
        in_sync: pair(words.get(3)?)?,
        action: (*words.get(4)?).to_owned(),
        mismatches: words.get(5)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines_of_real_pools_are_read() {
        let table = "254:3 254:4 128 2457 0";
        let status = pool(
            "5 142/1024 1600/8192 - rw no_discard_passdown queue_if_no_space - 1024",
            table,
        )
        .expect("read");
        assert_eq!(
            (status.transaction_id, status.mode),
            (5, PoolMode::ReadWrite)
        );
        assert_eq!(
            (status.data_used, status.data_total),
            (1600 << 16, 8192 << 16)
        );
        assert_eq!(
            (status.metadata_used, status.metadata_total),
            (142 << 12, 1024 << 12)
        );
        assert_eq!(status.low_water, 2457 << 16);
        assert!(status.queue_when_full && !status.needs_check && status.held_root.is_none());
        let full =
            "6 9/9 3/3 77 out_of_data_space discard_passdown error_if_no_space needs_check 2";
        let status = pool(full, table).expect("read");
        assert_eq!(status.mode, PoolMode::OutOfDataSpace);
        assert_eq!(status.held_root, Some(77));
        assert!(!status.queue_when_full && status.needs_check);
        assert_eq!(pool("Fail", table).expect("read").mode, PoolMode::Failed);
        assert_eq!(pool("6 9/9", table), None);
    }

    #[test]
    fn status_lines_of_volumes_are_read() {
        assert_eq!(
            thin("2048 4095"),
            Some(ThinStatus {
                mapped: 1 << 20,
                failed: false
            })
        );
        assert!(thin("Fail").expect("read").failed);
        let snapshot = cow("16/204800 8").expect("read");
        assert_eq!(
            (snapshot.used, snapshot.total, snapshot.invalid),
            (8192, 104_857_600, false)
        );
        assert!(cow("Overflow").expect("read").invalid);
        let status = raid("raid1 2 AD 1024/2048 recover 3 0 -").expect("read");
        assert!(status.degraded());
        assert_eq!(
            (status.in_sync, status.action.as_str(), status.mismatches),
            ((1024, 2048), "recover", 3)
        );
    }

    #[test]
    fn no_words_break_the_readers() {
        bolero::check!()
            .with_type::<(String, String)>()
            .for_each(|(one, two)| {
                let _ = (thin(one), pool(one, two), cow(one), raid(one));
            });
    }
}
