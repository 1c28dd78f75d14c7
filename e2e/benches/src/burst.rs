//! A node that starts 250 pods at once, as after a reboot.

use anyhow::Result;

use crate::call::Verb;
use crate::phase::{pods, run};
use crate::report::Report;
use crate::sample::Sample;
use crate::subject::{Kind, Network, Programs, Subject};

/// Pods of a burst and how many the runtime starts at once.
const PODS: usize = 250;
const AT_ONCE: usize = 32;

/// Measures the burst of ADDs and that of DELs.
pub(crate) fn measure(programs: &Programs, report: &mut Report) -> Result<()> {
    let title = format!("A burst of {PODS} pods, {AT_ONCE} at once");
    for network in [Network::Plain, Network::DualStack] {
        let mut samples: Vec<(Kind, Sample, Sample)> = Vec::new();
        let guests = pods(0, PODS)?;
        for kind in [Kind::Reference, Kind::Bridge, Kind::Direct] {
            report.progress(&format!("{title}: {}, {}", network.name(), kind.name()));
            let subject = Subject::new(kind, network, programs)?;
            let add = run(&subject, Verb::Add, &guests, AT_ONCE)?;
            let del = run(&subject, Verb::Del, &guests, AT_ONCE)?;
            samples.push((kind, add, del));
        }
        report.burst(&title, network, &samples);
    }
    Ok(())
}
