//! What a cluster has to live through: each trial does something to one that is up, with the chart
//! installed, and fails unless everything is as it should be afterwards.

mod node_restart;

use anyhow::Result;
use clap::Subcommand;

use crate::plan::Cluster;
use crate::progress::Progress;

/// Which trial.
#[derive(Debug, Subcommand)]
pub(crate) enum Trial {
    /// A node loses its power and comes back: no lease of before is left. Needs `--own-boot-ids`.
    NodeRestart,
}

impl Trial {
    pub(crate) fn run(&self, cluster: &Cluster, progress: &Progress) -> Result<()> {
        match self {
            Self::NodeRestart => node_restart::run(cluster, progress),
        }
    }
}
