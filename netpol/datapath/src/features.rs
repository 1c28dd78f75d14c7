//! Says what a kernel lacks, when loading did not work.

use aya::maps::MapType;
use aya::programs::ProgramType;
use aya::sys::{is_map_supported, is_program_supported};
use nix::errno::Errno;

use crate::error::{DatapathError, Feature};

/// The kinds of maps that the programs use.
const MAPS: [MapType; 7] = [
    MapType::Hash,
    MapType::LruHash,
    MapType::LruPerCpuHash,
    MapType::LpmTrie,
    MapType::Array,
    MapType::PerCpuArray,
    MapType::RingBuf,
];

/// `CAP_*`.
const NET_ADMIN: u64 = 1 << 12;
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

/// The error as it is, or which feature is missing where one is.
pub(crate) fn explain(error: DatapathError) -> DatapathError {
    let number = number(&error);
    match missing(number) {
        Some(feature) => DatapathError::Missing {
            feature,
            source: number.map(Into::into),
        },
        None => error,
    }
}

/// The feature that is missing, after a failure with this number.
fn missing(number: Option<Errno>) -> Option<Feature> {
    let refused = matches!(number, Some(Errno::EPERM | Errno::EACCES));
    if number == Some(Errno::ENOSYS) || refused && !may_load(effective()) {
        return Some(Feature::Bpf);
    }
    let lacks = |kind| matches!(is_program_supported(kind), Ok(false));
    if lacks(ProgramType::SocketFilter) {
        return Some(Feature::SocketFilter);
    }
    if lacks(ProgramType::SchedClassifier) {
        return Some(Feature::Classifier);
    }
    let lacks = |kind: &MapType| matches!(is_map_supported(*kind), Ok(false));
    if MAPS.iter().any(lacks) {
        return Some(Feature::Maps);
    }
    // Kernels that count maps against a limit say so by this number, to whoever has leave.
    (number == Some(Errno::EPERM)).then_some(Feature::LockedMemory)
}

/// Whether these capabilities give leave to load what we load (capabilities(7)).
const fn may_load(capabilities: u64) -> bool {
    let all = BPF | PERFMON;
    capabilities & NET_ADMIN != 0 && (capabilities & SYS_ADMIN != 0 || capabilities & all == all)
}

/// The calling thread's effective capabilities; all where they are not told.
fn effective() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .unwrap_or(u64::MAX)
}

/// The system's number somewhere below an error.
fn number(error: &DatapathError) -> Option<Errno> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<std::io::Error>();
        if let Some(raw) = io.and_then(std::io::Error::raw_os_error) {
            return Some(Errno::from_raw(raw));
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leave_is_net_admin_and_either_way_to_bpf() {
        assert!(may_load(NET_ADMIN | BPF | PERFMON));
        assert!(may_load(NET_ADMIN | SYS_ADMIN));
        assert!(!may_load(NET_ADMIN | BPF) && !may_load(NET_ADMIN | PERFMON));
        assert!(!may_load(SYS_ADMIN | BPF | PERFMON));
    }
}
