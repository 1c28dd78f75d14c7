//! The same name again: is what stands there what the request asks for?

use crate::{CapacityRange, Limits, Parameters, Record, Source};

/// What `CreateVolume` asks for, beside the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Sizes of the volume, as the pod sees it.
    pub range: CapacityRange,
    /// Parameters with the file system of the capabilities ([`Parameters::for_accesses`]).
    pub parameters: &'a Parameters,
    /// What it is made from.
    pub source: Option<Source>,
    /// Limits of I/O that the request's mutable parameters set.
    pub limits: Limits,
}

/// In which words an existing volume differs from the request; empty when it is the same. `bytes` is the
/// size that was wanted for it, as the pod sees it.
#[must_use]
pub fn differences(record: &Record, bytes: u64, request: &Request<'_>) -> Vec<String> {
    let mut words = Vec::new();
    if !request.range.contains(bytes) {
        let limit = request
            .range
            .limit()
            .map_or_else(String::new, |limit| format!(" and at most {limit}"));
        words.push(format!(
            "it has {bytes} bytes, at least {}{limit} are asked",
            request.range.required()
        ));
    }
    if record.parameters != *request.parameters {
        words.push(format!(
            "its parameters are {:?}, {:?} are asked",
            record.parameters.canonical(),
            request.parameters.canonical()
        ));
    }
    if record.source != request.source {
        let text = |source: Option<Source>| match source {
            None => "nothing".to_owned(),
            Some(Source { kind, lv }) => format!(
                "{} {lv}",
                match kind {
                    crate::Kind::Volume => "volume",
                    crate::Kind::Snapshot => "snapshot",
                }
            ),
        };
        words.push(format!(
            "it was made from {}, {} is asked",
            text(record.source),
            text(request.source)
        ));
    }
    if record.limits != request.limits {
        words.push("its limits of I/O are others".to_owned());
    }
    words
}
