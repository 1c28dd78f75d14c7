//! csi/lvm, with each change counted and timed.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use fairlead_csi_lvm::{Command, LvUuid, Lvm, LvmError, Vg, VgUuid};

use crate::metrics::Metrics;

/// The one [`Lvm`] of the process; its changes go through here.
#[derive(Debug)]
pub(crate) struct Commands {
    lvm: Arc<Lvm>,
    metrics: Metrics,
}

impl Commands {
    pub(crate) fn new(lvm: Arc<Lvm>, metrics: Metrics) -> Self {
        Self { lvm, metrics }
    }

    /// The same LVM, for what only reads.
    pub(crate) fn reader(&self) -> Arc<Lvm> {
        Arc::clone(&self.lvm)
    }

    /// [`Lvm::snapshot_together`], counted.
    pub(crate) fn snapshot_together(&self, vg: &VgUuid, lvs: &[LvUuid]) -> Result<(), LvmError> {
        let start = Instant::now();
        let result = self.lvm.snapshot_together(vg, lvs);
        let seconds = start.elapsed().as_secs_f64();
        let name = "SnapshotTogether".to_owned();
        self.metrics.command(name, result.is_ok(), seconds);
        result
    }

    /// [`Lvm::run`], counted.
    pub(crate) fn run(&self, vg: &VgUuid, command: &Command) -> Result<Arc<Vg>, LvmError> {
        let start = Instant::now();
        let result = self.lvm.run(vg, command);
        let seconds = start.elapsed().as_secs_f64();
        self.metrics.command(name(command), result.is_ok(), seconds);
        result
    }
}

impl Deref for Commands {
    type Target = Lvm;

    fn deref(&self) -> &Lvm {
        &self.lvm
    }
}

/// The command's name, as a label.
fn name(command: &Command) -> String {
    let text = format!("{command:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_counted_by_its_name() {
        let lv = "ZfT3s0h8hYc2mR9vQ1bNwE7uKpLjXaG5".parse().unwrap();
        assert_eq!(name(&Command::Deactivate { lv }), "Deactivate");
    }
}
