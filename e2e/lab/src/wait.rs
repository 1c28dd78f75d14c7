//! Waiting for a condition.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything may take before a test fails. Only tests that fail wait so long.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `holds` is true; after `limit` the error says `what` did not come about.
pub fn wait_until(
    limit: Duration,
    what: &str,
    mut holds: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        if holds()? {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("not within {limit:?}: {what}");
        }
        std::thread::sleep(PAUSE);
    }
}
