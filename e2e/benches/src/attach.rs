//! ADD, CHECK and DEL of all subjects in turns, at several degrees of parallelism and fullness.

use anyhow::Result;

use crate::call::Verb;
use crate::cli::Scale;
use crate::phase::{Pod, pods, run};
use crate::report::{Column, Report, Row};
use crate::sample::Sample;
use crate::subject::{Kind, Network, Programs, Subject};

/// Pods of those that are there before have numbers from here.
const RESIDENTS: usize = 100_000;

/// One comparison: who takes turns, each with how many pods before.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    network: Network,
    subjects: &'static [(Kind, usize)],
    at_once: &'static [usize],
}

const EMPTY: &[(Kind, usize)] = &[(Kind::Reference, 0), (Kind::Bridge, 0), (Kind::Direct, 0)];
const MASQUERADE: &[(Kind, usize)] = &[(Kind::Reference, 0), (Kind::Bridge, 0)];
const FILLED: &[(Kind, usize)] = &[
    (Kind::Reference, 250),
    (Kind::Bridge, 250),
    (Kind::Direct, 250),
];
const FLAT: &[(Kind, usize)] = &[(Kind::Direct, 0), (Kind::Direct, 900)];
/// What the guard of the tunnel costs, and whether that grows.
const GUARDED: &[(Kind, usize)] = &[
    (Kind::Direct, 0),
    (Kind::Direct, 900),
    (Kind::Vxlan, 0),
    (Kind::Vxlan, 900),
];

const ALL: &[usize] = &[1, 8, 32];

const SIDE_BY_SIDE: &[Scenario] = &[
    Scenario {
        network: Network::Plain,
        subjects: EMPTY,
        at_once: ALL,
    },
    Scenario {
        network: Network::DualStack,
        subjects: EMPTY,
        at_once: ALL,
    },
    Scenario {
        network: Network::Masquerade,
        subjects: MASQUERADE,
        at_once: ALL,
    },
    Scenario {
        network: Network::Plain,
        subjects: FILLED,
        at_once: ALL,
    },
];

const GROWTH: &[Scenario] = &[
    Scenario {
        network: Network::Plain,
        subjects: FLAT,
        at_once: ALL,
    },
    Scenario {
        network: Network::DualStack,
        subjects: GUARDED,
        at_once: &[1],
    },
];

/// Our plugins beside the reference's.
pub(crate) fn side_by_side(programs: &Programs, scale: Scale, report: &mut Report) -> Result<()> {
    SIDE_BY_SIDE
        .iter()
        .try_for_each(|scenario| scenario.measure(programs, scale, report))
}

/// What the routed roles cost on a full node, beside what it costs on an empty one.
pub(crate) fn growth(programs: &Programs, scale: Scale, report: &mut Report) -> Result<()> {
    GROWTH
        .iter()
        .try_for_each(|scenario| scenario.measure(programs, scale, report))
}

impl Scenario {
    fn measure(self, programs: &Programs, scale: Scale, report: &mut Report) -> Result<()> {
        let most = self
            .subjects
            .iter()
            .map(|(_, before)| *before)
            .max()
            .unwrap_or_default();
        let title = format!("{}, {most} pods before", self.network.name());
        let (mut subjects, mut residents) = (Vec::new(), Vec::new());
        for ((kind, before), first) in self.subjects.iter().zip((RESIDENTS..).step_by(RESIDENTS)) {
            report.progress(&format!("{title}: filling for {}", kind.name()));
            let subject = Subject::new(*kind, self.network, programs)?;
            let pods = pods(first, *before)?;
            run(&subject, Verb::Add, &pods, 2)?;
            subjects.push(subject);
            residents.push(pods);
        }
        let guests = pods(0, scale.operations)?;
        for at_once in self.at_once {
            report.progress(&format!("{title}: {at_once} at once"));
            for row in self.rows(&subjects, &guests, *at_once, scale)? {
                report.row(&title, row);
            }
        }
        Ok(())
    }

    /// Subjects take turns in every round, so that the machine's mood hits all of them.
    fn rows(
        self,
        subjects: &[Subject],
        guests: &[Pod],
        at_once: usize,
        scale: Scale,
    ) -> Result<Vec<Row>> {
        let column = |(kind, before): &(Kind, usize)| Column {
            kind: *kind,
            before: *before,
            sample: Sample::default(),
        };
        let columns: Vec<Column> = self.subjects.iter().map(column).collect();
        let verbs = [Verb::Add, Verb::Check, Verb::Del];
        let mut rows = verbs.map(|verb| Row {
            network: self.network,
            at_once,
            verb,
            columns: columns.clone(),
        });
        for _ in 0..scale.rounds {
            for (index, subject) in subjects.iter().enumerate() {
                for row in &mut rows {
                    row.columns[index]
                        .sample
                        .extend(run(subject, row.verb, guests, at_once)?);
                }
            }
        }
        Ok(rows.into())
    }
}
