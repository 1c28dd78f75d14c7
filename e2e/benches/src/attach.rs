//! ADD, CHECK and DEL of all subjects in turns, at several degrees of parallelism and fullness.

use anyhow::Result;

use crate::call::Verb;
use crate::cli::Scale;
use crate::phase::{Pod, pods, run};
use crate::report::{Report, Row};
use crate::sample::Sample;
use crate::subject::{Kind, Network, Programs, Subject};

/// Pods of those that are there before have numbers from here.
const RESIDENTS: usize = 100_000;

/// One comparison.
#[derive(Debug, Clone, Copy)]
struct Scenario {
    network: Network,
    kinds: &'static [Kind],
    before: usize,
    at_once: &'static [usize],
}

const ALL: &[Kind] = &[Kind::Reference, Kind::Bridge, Kind::Direct];
const BRIDGES: &[Kind] = &[Kind::Reference, Kind::Bridge];

const SCENARIOS: &[Scenario] = &[
    Scenario {
        network: Network::Plain,
        kinds: ALL,
        before: 0,
        at_once: &[1, 8, 32],
    },
    Scenario {
        network: Network::DualStack,
        kinds: ALL,
        before: 0,
        at_once: &[1, 8, 32],
    },
    Scenario {
        network: Network::Masquerade,
        kinds: BRIDGES,
        before: 0,
        at_once: &[1, 8, 32],
    },
    Scenario {
        network: Network::Plain,
        kinds: ALL,
        before: 250,
        at_once: &[1, 8, 32],
    },
    Scenario {
        network: Network::Plain,
        kinds: &[Kind::Direct],
        before: 900,
        at_once: &[1, 8, 32],
    },
    Scenario {
        network: Network::DualStack,
        kinds: &[Kind::Direct],
        before: 900,
        at_once: &[1],
    },
];

/// Runs all scenarios.
pub(crate) fn measure(programs: &Programs, scale: Scale, report: &mut Report) -> Result<()> {
    for scenario in SCENARIOS {
        scenario.measure(programs, scale, report)?;
    }
    Ok(())
}

impl Scenario {
    fn measure(self, programs: &Programs, scale: Scale, report: &mut Report) -> Result<()> {
        let title = format!("{}, {} pods before", self.network.name(), self.before);
        let subjects = self
            .kinds
            .iter()
            .map(|kind| Subject::new(*kind, self.network, programs))
            .collect::<Result<Vec<_>>>()?;
        let mut residents: Vec<Vec<Pod>> = Vec::new();
        for (subject, first) in subjects.iter().zip((RESIDENTS..).step_by(RESIDENTS)) {
            report.progress(&format!("{title}: filling for {}", subject.kind.name()));
            let pods = pods(first, self.before)?;
            run(subject, Verb::Add, &pods, 2)?;
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
        let verbs = [Verb::Add, Verb::Check, Verb::Del];
        let mut rows = verbs.map(|verb| Row {
            network: self.network,
            before: self.before,
            at_once,
            verb,
            samples: subjects
                .iter()
                .map(|s| (s.kind, Sample::default()))
                .collect(),
        });
        for _ in 0..scale.rounds {
            for (index, subject) in subjects.iter().enumerate() {
                for row in &mut rows {
                    row.samples[index]
                        .1
                        .extend(run(subject, row.verb, guests, at_once)?);
                }
            }
        }
        Ok(rows.into())
    }
}
