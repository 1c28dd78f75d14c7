//! Collection of leases whose pod is gone without a DEL.
//!
//! containerd sends no GC, so the agent compares the lease file with the runtime's sandboxes. What
//! it removes has to be unknown in two passes, old enough, and without its namespace; it looks only
//! at the lease file of the network it configured.

mod cri;
mod judge;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fairlead_ipam::{Env, IpamError, Lease, NetworkName, Store};
use ipnetwork::IpNetwork;
use tokio::sync::watch;

use crate::conditions::{Board, Condition, Finder};
use crate::config::{Cni, Gc};
use crate::kernel::Outcome;
use crate::metrics::Metrics;

pub use judge::Suspects;

/// How often usage is measured.
const USAGE_PERIOD: Duration = Duration::from_secs(15);

/// Everything about the leases of one network.
#[derive(Debug)]
pub struct Leases {
    /// The lease file and the configuration around it.
    pub cni: Cni,
    /// The network whose leases these are.
    pub network: NetworkName,
    /// Boot and namespaces.
    pub env: Env,
    /// Where metrics go.
    pub metrics: Arc<Metrics>,
    /// Where conditions go.
    pub board: Arc<Board>,
}

impl Leases {
    /// Measures usage, and collects when `gc` says so; never returns.
    pub async fn run(&self, gc: Option<&Gc>, outcome: watch::Receiver<Outcome>) {
        tokio::join!(self.measure(outcome), async {
            match gc {
                Some(gc) => self.collect(gc).await,
                None => std::future::pending().await,
            }
        });
    }

    async fn measure(&self, mut outcome: watch::Receiver<Outcome>) {
        loop {
            let ranges = outcome.borrow_and_update().own_ranges();
            match self.usage(&ranges) {
                Ok(outside) => self.board.replace(Finder::Leases, outside),
                Err(error) => self.failed(&error),
            }
            tokio::select! {
                _ = outcome.changed() => {}
                () = tokio::time::sleep(USAGE_PERIOD) => {}
            }
        }
    }

    /// Shows usage of `ranges`; answers with a condition when pods live outside of them.
    fn usage(&self, ranges: &[IpNetwork]) -> Result<Option<Condition>, IpamError> {
        if ranges.is_empty() {
            return Ok(None);
        }
        let leases = self.snapshot()?;
        let config = fairlead_ipam::Config::for_pod_ranges(
            self.network.as_str(),
            &self.cni.data_dir,
            ranges,
        )?;
        let mut free = vec![None; ranges.len()];
        if let Some(mut store) = Store::open_existing(&self.cni.data_dir, &self.network, &self.env)?
        {
            free = store
                .usage(&config.sets)?
                .iter()
                .map(|usage| Some(usage.free))
                .collect();
        }
        for (range, free) in ranges.iter().zip(free) {
            let held = leases
                .iter()
                .filter(|lease| range.contains(lease.address))
                .count();
            let label = [("range", range.to_string())];
            let held = i64::try_from(held).unwrap_or(i64::MAX);
            self.metrics.leases_used.get_or_create(&label).set(held);
            if let Some(free) = free {
                self.metrics
                    .leases_free
                    .get_or_create(&label)
                    .set(as_amount(free));
            }
        }
        let outside = |lease: &&Lease| !ranges.iter().any(|range| range.contains(lease.address));
        let mut pods: Vec<_> = leases
            .iter()
            .filter(outside)
            .map(|lease| lease.owner.container())
            .collect();
        pods.sort_unstable();
        pods.dedup();
        Ok((!pods.is_empty()).then(|| Condition::PodsOutsideRange {
            pods: pods.len(),
            ranges: ranges
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(","),
        }))
    }

    async fn collect(&self, gc: &Gc) {
        let mut suspects = Suspects::default();
        loop {
            let result = self.pass(gc, &mut suspects).await;
            let failed = result.is_err();
            match result {
                Ok(removed) => {
                    self.metrics.gc_passes.inc();
                    self.metrics
                        .gc_removed
                        .inc_by(u64::try_from(removed.len()).unwrap_or(0));
                    for lease in removed {
                        tracing::info!(
                            address = %lease.address,
                            container = lease.owner.container(),
                            interface = lease.owner.ifname(),
                            "removed the lease of a pod that is gone"
                        );
                    }
                }
                Err(error) => {
                    // Nothing is removed on the strength of an answer that did not come.
                    suspects = Suspects::default();
                    self.metrics.error("runtime");
                    tracing::warn!("lease collection skipped: {error}");
                }
            }
            // A suspect is looked at again as soon as it may be removed, a failed pass repeated then.
            let soon = failed || !suspects.is_empty();
            let pause = if soon {
                gc.period.min(gc.min_age)
            } else {
                gc.period
            };
            tokio::time::sleep(pause.max(Duration::from_millis(1))).await;
        }
    }

    /// The leases come first: a sandbox made after the snapshot holds none of them.
    async fn pass(&self, gc: &Gc, suspects: &mut Suspects) -> Result<Vec<Lease>, PassError> {
        let leases = self.snapshot()?;
        let sandboxes = cri::sandboxes(&gc.runtime_endpoint).await?;
        let gone = suspects.judge(
            leases,
            &sandboxes,
            |netns| self.env.namespaces.presence(netns),
            SystemTime::now(),
            gc.min_age,
        );
        let mut removed = Vec::new();
        if gone.is_empty() {
            return Ok(removed);
        }
        if let Some(mut store) = Store::open_existing(&self.cni.data_dir, &self.network, &self.env)?
        {
            for lease in gone {
                if store.release_if(lease.id())? {
                    removed.push(lease);
                }
            }
        }
        Ok(removed)
    }

    fn snapshot(&self) -> Result<Vec<Lease>, IpamError> {
        match Store::open_existing(&self.cni.data_dir, &self.network, &self.env)? {
            Some(mut store) => store.leases(),
            None => Ok(Vec::new()),
        }
    }

    fn failed(&self, error: &IpamError) {
        self.metrics.error("file");
        self.board.replace(
            Finder::Leases,
            [Condition::Failing {
                text: error.to_string(),
            }],
        );
    }
}

/// Why a pass did not come to an end.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error(transparent)]
    Leases(#[from] IpamError),
    #[error(transparent)]
    Runtime(#[from] cri::CriError),
}

/// Addresses as a gauge shows them; precise up to 2^53, which no node fills.
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; the size of a /64 is one anyway"
)]
fn as_amount(free: u128) -> f64 {
    free as f64
}
