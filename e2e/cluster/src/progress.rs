//! What a user sees while the lab works.

use std::time::Instant;

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
}
