//! Pauses between attempts: longer each time, and never the same for two who ask.

use std::time::Duration;

/// What the first pause is at most.
const FIRST: Duration = Duration::from_millis(800);

/// The pauses of one who keeps failing.
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
    max: Duration,
}

impl Pauses {
    /// Pauses that grow up to `max`.
    #[must_use]
    pub fn new(max: Duration) -> Self {
        Self {
            next: FIRST.min(max),
            max,
        }
    }

    /// The pause after another failure: of twice the last one's length, less up to half of it by chance.
    pub fn after_failure(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.max);
        whole.mul_f64(f64::midpoint(1.0, fastrand::f64()))
    }

    /// Something worked: the next failure is a first one again.
    pub fn reset(&mut self) {
        self.next = FIRST.min(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_success() {
        let seconds = Duration::from_secs;
        let mut pauses = Pauses::new(seconds(3));
        for whole in [FIRST, FIRST * 2, seconds(3), seconds(3)] {
            let pause = pauses.after_failure();
            assert!(
                whole / 2 <= pause && pause <= whole,
                "{pause:?} of {whole:?}"
            );
        }
        pauses.reset();
        assert!(pauses.after_failure() <= FIRST);
        assert!(
            Pauses::new(Duration::from_millis(100)).after_failure() <= Duration::from_millis(100)
        );
    }
}
