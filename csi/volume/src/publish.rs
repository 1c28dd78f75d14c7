//! Publishing and staging a second time (spec.md, `NodePublishVolume`, the tables of second calls).

use crate::AccessMode;

/// How a call meets what stands already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands in the way: do it.
    New,
    /// It is done already: `OK`.
    Same,
    /// The same path with other arguments: `ALREADY_EXISTS`.
    Differs,
    /// Another path, and the mode allows one: `FAILED_PRECONDITION`.
    Occupied,
}

/// A call at one path. `arguments` is whatever the caller compares: capability, read-only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<A> {
    /// The target path, as mountinfo has it.
    pub path: String,
    /// The arguments beside it.
    pub arguments: A,
}

/// What a publish call means, given the targets at which the volume is published on this node.
#[must_use]
pub fn verdict<A: PartialEq>(mode: AccessMode, standing: &[Call<A>], call: &Call<A>) -> Verdict {
    if let Some(same) = standing.iter().find(|other| other.path == call.path) {
        return if same.arguments == call.arguments {
            Verdict::Same
        } else {
            Verdict::Differs
        };
    }
    let many = matches!(
        mode,
        AccessMode::MultiNodeReaderOnly | AccessMode::SingleNodeMultiWriter
    );
    if many || standing.is_empty() {
        Verdict::New
    } else {
        Verdict::Occupied
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_calls_end_as_the_specifications_tables_say() {
        use Verdict::{Differs, New, Occupied, Same};
        let call = |path: &str, arguments| Call {
            path: path.to_owned(),
            arguments,
        };
        let standing = [call("/t1", "p1")];
        let calls = [
            call("/t1", "p1"),
            call("/t1", "p2"),
            call("/t2", "p1"),
            call("/t2", "p2"),
        ];
        let table = [
            (AccessMode::MultiNodeReaderOnly, [Same, Differs, New, New]),
            (AccessMode::SingleNodeMultiWriter, [Same, Differs, New, New]),
            (
                AccessMode::SingleNodeSingleWriter,
                [Same, Differs, Occupied, Occupied],
            ),
            (
                AccessMode::SingleNodeWriter,
                [Same, Differs, Occupied, Occupied],
            ),
            (
                AccessMode::SingleNodeReaderOnly,
                [Same, Differs, Occupied, Occupied],
            ),
        ];
        for (mode, expected) in table {
            let verdicts = calls.each_ref().map(|call| verdict(mode, &standing, call));
            assert_eq!(verdicts, expected, "{mode:?}");
            assert_eq!(verdict(mode, &[], &calls[0]), New);
        }
    }
}
