//! One operation per volume at a time: what is being worked on, by id or by name.
//!
//! CSI lets a plugin answer ABORTED while an earlier call for the same volume goes on, also one whose
//! caller has gone away. The caller comes back; nothing is queued.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::DriverError;

/// The volumes and snapshots that some call works on.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<BTreeSet<String>>>);

/// A claim on one of them; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    all: InFlight,
    key: String,
}

impl InFlight {
    /// Claims the object of this `kind` (`"volume"`, `"snapshot"`) that bears this id or name.
    ///
    /// # Errors
    ///
    /// [`DriverError::InFlight`] when somebody else has it.
    pub(crate) fn claim(&self, kind: &'static str, object: &str) -> Result<Claim, DriverError> {
        let key = format!("{kind} {object}");
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.insert(key.clone()) {
            Ok(Claim {
                all: self.clone(),
                key,
            })
        } else {
            Err(DriverError::InFlight {
                kind,
                object: object.to_owned(),
            })
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut keys = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_worked_on_once_at_a_time() {
        let all = InFlight::default();
        let claim = all.claim("volume", "a").unwrap();
        assert_eq!(
            all.claim("volume", "a").unwrap_err().to_string(),
            "an earlier call works on volume a; this one changes nothing, try again when that has ended"
        );
        assert!(all.claim("volume", "b").is_ok());
        assert!(all.claim("snapshot", "a").is_ok());
        drop(claim);
        assert!(all.claim("volume", "a").is_ok());
    }
}
