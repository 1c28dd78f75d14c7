//! Says what a kernel lacks, when loading did not work.

use std::path::Path;

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

/// The error as it is, or which feature is missing where one is.
pub(crate) fn explain(error: DatapathError, _home: &Path) -> DatapathError {
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
    if number == Some(Errno::ENOSYS) {
        return Some(Feature::Bpf);
    }
    let lacks = |kind| matches!(is_program_supported(kind), Ok(false));
    if lacks(ProgramType::SocketFilter) {
        return Some(Feature::SocketFilter);
    }
    if lacks(ProgramType::SchedClassifier) {
        return Some(Feature::Classifier);
    }
    if MAPS
        .iter()
        .any(|kind| matches!(is_map_supported(*kind), Ok(false)))
    {
        return Some(Feature::Maps);
    }
    match number {
        // Without leave every probe fails as well, and says nothing.
        Some(Errno::EPERM) if is_map_supported(MapType::Array).is_err() => Some(Feature::Bpf),
        Some(Errno::EPERM) => Some(Feature::LockedMemory),
        _ => None,
    }
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
