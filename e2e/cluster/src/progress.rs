//! What a user sees while the lab works.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::poll;

/// Nothing longer than this goes by without a line; the lines of one wait come ever more slowly.
const SILENCE: Duration = Duration::from_secs(3);
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// Prints one line for each thing done, with the time since the start.
#[derive(Debug)]
pub(crate) struct Progress(Instant);

impl Progress {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::print_stdout, reason = "progress is this program's output")]
    pub(crate) fn say(&self, what: impl AsRef<str>) {
        println!(
            "[{:6.1} s] {}",
            self.0.elapsed().as_secs_f64(),
            what.as_ref()
        );
    }

    /// Polls as [`poll::until`], and says every few seconds what is waited for.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        let mut silence = SILENCE;
        let mut next = start + silence;
        poll::until(what, limit, || {
            let found = ready()?;
            if found.is_none() && Instant::now() >= next {
                silence = (silence * 2).min(LONGEST_SILENCE);
                next = Instant::now() + silence;
                self.say(format!("  … {what}, for {} s", start.elapsed().as_secs()));
            }
            Ok(found)
        })
    }
}
