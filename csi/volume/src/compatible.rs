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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CoName, Fs, FsState, Kind};

    const GIB: i64 = 1 << 30;

    fn record() -> Record {
        Record {
            kind: Kind::Volume,
            cluster: "c".to_owned(),
            name: CoName::new("pvc-1").unwrap(),
            wanted: 1 << 30,
            parameters: Parameters::default(),
            source: None,
            making: false,
            fs: FsState::Never,
            put_aside: None,
            limits: Limits::default(),
            group: None,
        }
    }

    fn request(parameters: &Parameters, required: i64, limit: i64) -> Request<'_> {
        Request {
            range: CapacityRange::new(required, limit).unwrap(),
            parameters,
            source: None,
            limits: Limits::default(),
        }
    }

    #[test]
    fn the_same_request_again_is_the_same() {
        let parameters = Parameters::default();
        for (required, limit) in [(GIB, 0), (1, GIB), (GIB, GIB), (0, 2 * GIB)] {
            let request = request(&parameters, required, limit);
            assert_eq!(differences(&record(), 1 << 30, &request), [""; 0]);
        }
    }

    #[test]
    fn what_differs_is_told_in_words() {
        let xfs = Parameters {
            fs: Some(Fs::Xfs),
            ..Parameters::default()
        };
        let lv = "ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaG5".parse().unwrap();
        let other = Request {
            source: Some(Source {
                kind: Kind::Snapshot,
                lv,
            }),
            limits: Limits {
                read_bps: Some(4096),
                ..Limits::default()
            },
            ..request(&xfs, 2 * GIB, 3 * GIB)
        };
        assert_eq!(
            differences(&record(), 1 << 30, &other),
            [
                "it has 1073741824 bytes, at least 2147483648 and at most 3221225472 are asked",
                "its parameters are \"\", \"f=xfs\" are asked",
                "it was made from nothing, snapshot ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaG5 is asked",
                "its limits of I/O are others",
            ]
        );
    }
}
