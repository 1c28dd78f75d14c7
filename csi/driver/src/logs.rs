//! Logs on standard error, for people or for machines.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{Log, LogFormat};

/// Starts logging; a second call changes nothing. Libraries are heard from `warn` on, unless `debug`
/// or `trace` is asked for.
pub(crate) fn start(log: Log) {
    let level = LevelFilter::from_level(log.level);
    let others = if log.level > tracing::Level::INFO {
        level
    } else {
        level.min(LevelFilter::WARN)
    };
    let filter = Targets::new()
        .with_default(others)
        .with_target("fairlead_csi_driver", level)
        .with_target("fairlead_csi_lvm", level)
        .with_target("fairlead_csi_mount", level);
    let lines = fmt::layer().with_writer(std::io::stderr).with_target(false);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match log.format {
        LogFormat::Text => Box::new(lines.with_ansi(false).with_filter(filter)),
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_filter(filter)),
    };
    let _ = tracing_subscriber::registry().with(layer).try_init();
}
