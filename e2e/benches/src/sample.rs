//! What was measured, and how processor time is read.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// Times of one operation repeated.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Wall time of each, as the caller waited.
    pub(crate) walls: Vec<Duration>,
    /// Wall time of each until the last process that it started had ended; only where one ran at a time.
    pub(crate) released: Vec<Duration>,
    /// Processor time of all together.
    pub(crate) cpu: Duration,
    /// From the first start to the end of the last process.
    pub(crate) total: Duration,
}

impl Sample {
    /// Adds another round.
    pub(crate) fn extend(&mut self, other: Self) {
        self.walls.extend(other.walls);
        self.released.extend(other.released);
        self.cpu += other.cpu;
        self.total += other.total;
    }

    pub(crate) fn p50(&self) -> Duration {
        percentile(&self.walls, 50)
    }

    pub(crate) fn p99(&self) -> Duration {
        percentile(&self.walls, 99)
    }

    pub(crate) fn released_p50(&self) -> Duration {
        percentile(&self.released, 50)
    }

    /// Processor time of one.
    pub(crate) fn cpu_each(&self) -> Duration {
        self.cpu / u32::try_from(self.walls.len()).unwrap_or(u32::MAX).max(1)
    }

    /// Operations in a second.
    pub(crate) fn rate(&self) -> f64 {
        let count = u32::try_from(self.walls.len()).unwrap_or(u32::MAX);
        f64::from(count) / self.total.as_secs_f64()
    }
}

/// The smallest value that `percent` of all do not exceed; zero of none.
fn percentile(values: &[Duration], percent: usize) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

/// Wall and processor time from its start.
#[derive(Debug)]
pub(crate) struct Watch {
    who: UsageWho,
    cpu: Duration,
    start: Instant,
}

impl Watch {
    /// Counts the processor time of `who`.
    pub(crate) fn start(who: UsageWho) -> Result<Self> {
        let cpu = cpu(who)?;
        Ok(Self {
            who,
            cpu,
            start: Instant::now(),
        })
    }

    /// Wall and processor time until now.
    pub(crate) fn stop(&self) -> Result<(Duration, Duration)> {
        let wall = self.start.elapsed();
        Ok((wall, cpu(self.who)?.saturating_sub(self.cpu)))
    }
}

/// Does `work` once.
pub(crate) fn timed(who: UsageWho, work: impl FnOnce() -> Result<()>) -> Result<Sample> {
    let watch = Watch::start(who)?;
    work()?;
    let (total, cpu) = watch.stop()?;
    Ok(Sample {
        walls: vec![total],
        released: Vec::new(),
        cpu,
        total,
    })
}

fn cpu(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who)?;
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

pub(crate) fn duration(time: TimeVal) -> Duration {
    let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
    Duration::from_micros(u64::try_from(micros).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let walls: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        let sample = Sample {
            walls,
            cpu: Duration::from_secs(2),
            ..Sample::default()
        };
        assert_eq!(sample.p50(), Duration::from_millis(100));
        assert_eq!(sample.p99(), Duration::from_millis(198));
        assert_eq!(sample.cpu_each(), Duration::from_millis(10));
        assert_eq!(
            percentile(&[Duration::from_secs(1)], 99),
            Duration::from_secs(1)
        );
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
