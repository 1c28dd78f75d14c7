//! What went wrong in one pass.

use std::sync::Arc;

use crate::conditions::Condition;
use crate::error::AgentError;
use crate::metrics::Metrics;

/// Collects conditions and counts errors, so that a pass can go on after a failure.
#[derive(Debug)]
pub struct Trouble {
    metrics: Arc<Metrics>,
    conditions: Vec<Condition>,
    failed: bool,
}

impl Trouble {
    /// Nothing went wrong yet.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            conditions: Vec::new(),
            failed: false,
        }
    }

    /// Whether there were errors, which may be gone by the next try.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.failed
    }

    /// Everything that went wrong.
    #[must_use]
    pub fn conditions(self) -> Vec<Condition> {
        self.conditions
    }

    /// An error: counted, and told until it no longer happens.
    pub fn fail(&mut self, error: &AgentError) {
        self.failed = true;
        self.metrics.error(error.kind());
        self.conditions.push(Condition::Failing {
            text: error.to_string(),
        });
    }

    /// Errors of one kind of work, told as one with their number; tells whether there were none.
    pub fn fail_all<E: Into<AgentError>>(&mut self, errors: Vec<E>) -> bool {
        let more = errors.len().saturating_sub(1);
        let mut all = errors.into_iter().map(Into::into);
        let Some(first) = all.next() else { return true };
        all.for_each(|error| self.metrics.error(error.kind()));
        self.failed = true;
        self.metrics.error(first.kind());
        let text = if more == 0 {
            first.to_string()
        } else {
            format!("{first} (and {more} more)")
        };
        self.conditions.push(Condition::Failing { text });
        false
    }

    /// A condition that is no error of ours.
    pub fn tell(&mut self, condition: Condition) {
        self.conditions.push(condition);
    }

    /// The value, or `None` after noting the error.
    pub fn value<T, E: Into<AgentError>>(&mut self, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.fail(&error.into())).ok()
    }
}
