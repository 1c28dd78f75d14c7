//! Keeps the plugin binary and the configuration list on the node.
//!
//! The binary comes first, the list last and only once the node file is there: the runtime runs
//! pods from the moment the list appears. Neither is ever removed.

pub mod binary;
pub mod conflist;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::conditions::{Board, Condition, Finder};
use crate::config::Config;
use crate::error::AgentError;
use crate::files::{self, FolderWatch};
use crate::kernel::Outcome;
use crate::metrics::Metrics;

/// How soon a failed installation is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Installs, watches both folders and puts back what somebody removes; never returns.
///
/// # Errors
///
/// [`AgentError::File`] when folders cannot be watched at all.
pub async fn run(
    config: &Config,
    mut outcome: watch::Receiver<Outcome>,
    done: watch::Sender<bool>,
    board: Arc<Board>,
    metrics: Arc<Metrics>,
) -> Result<(), AgentError> {
    let cni = &config.cni;
    let mut watch = FolderWatch::new(vec![cni.bin_dir.clone(), cni.conf_dir.clone()])?;
    let mut installer = binary::Installer::new(&cni.plugin_source, &cni.bin_dir);
    let list = conflist::render(config);
    let path = cni.conf_dir.join(&cni.conf_name);
    let mut complete = false;
    loop {
        let ready = outcome.borrow_and_update().node_file || complete;
        let result = installer.ensure().and_then(|binaries| {
            // The runtime runs pods from the moment the list is there.
            let written = ready && files::ensure(&path, list.as_bytes(), 0o644)?;
            Ok((binaries, usize::from(written)))
        });
        let mut pause = config.resync_period;
        let mut conditions = conflist::foreign(&cni.conf_dir, &cni.conf_name);
        match result {
            Ok((binaries, lists)) => {
                metrics.wrote("file", binaries + lists, complete);
                if binaries + lists > 0 {
                    tracing::info!(binaries, lists, "installed plugin and configuration");
                }
                complete |= ready;
            }
            Err(error) => {
                metrics.error(error.kind());
                conditions.push(Condition::Failing {
                    text: error.to_string(),
                });
                pause = RETRY;
            }
        }
        board.replace(Finder::Install, conditions);
        done.send_if_modified(|done| std::mem::replace(done, complete) != complete);
        watch.rearm();
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep(pause) => {}
            _ = outcome.changed(), if !ready => {}
        }
    }
}
