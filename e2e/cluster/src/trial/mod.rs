//! What a cluster has to live through: each trial does something to one that is up, with the chart
//! installed, and fails unless everything is as it should be afterwards.

mod api_load;
mod api_outage;
mod mode_change;
mod node_restart;
mod policy_start;
mod removal;

use anyhow::Result;
use clap::Subcommand;

use crate::cli::ChartChoice;
use crate::plan::Cluster;
use crate::progress::Progress;

/// Which trial.
#[derive(Debug, Subcommand)]
pub(crate) enum Trial {
    /// A node loses its power and comes back: no lease of before is left. Needs `--own-boot-ids`.
    NodeRestart,
    /// The API server is gone for a while: pods keep talking, and all is well when it is back.
    ApiOutage {
        /// How long it is gone.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
    },
    /// Thousands of Pod objects that no kubelet runs, and changes to them: what they cost an agent.
    ApiLoad(api_load::Amount),
    /// The mode changes from vxlan to direct and back: counts what a flow loses.
    ModeChange(ChartChoice),
    /// Pods start that an isolated pod of another node lets in: how soon it does.
    PolicyStart(policy_start::Amount),
    /// The chart is removed and the nodes are cleaned: they are as they were before. Comes last.
    Removal,
}

impl Trial {
    pub(crate) fn run(&self, cluster: &Cluster, progress: &Progress) -> Result<()> {
        match self {
            Self::NodeRestart => node_restart::run(cluster, progress),
            Self::ApiOutage { minutes } => api_outage::run(cluster, *minutes, progress),
            Self::ApiLoad(amount) => api_load::run(cluster, amount, progress),
            Self::ModeChange(choice) => mode_change::run(cluster, &choice.chart(), progress),
            Self::PolicyStart(amount) => policy_start::run(cluster, amount, progress),
            Self::Removal => removal::run(cluster, progress),
        }
    }
}
