//! Wires the parts together and ends when asked to: volumes and mounts stay.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fairlead_csi_lvm::{Lvm, Settings};
use fairlead_csi_spec::v1::controller_server::ControllerServer;
use fairlead_csi_spec::v1::group_controller_server::GroupControllerServer;
use fairlead_csi_spec::v1::identity_server::IdentityServer;
use fairlead_csi_spec::v1::node_server::NodeServer;
use fairlead_csi_spec::v1::snapshot_metadata_server::SnapshotMetadataServer;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;

use crate::blocks::Blocks;
use crate::config::Config;
use crate::driver::Driver;
use crate::http::{self, Pages, Serves};
use crate::{background, lock, socket};

/// How long a caller waits for an LVM command, which goes on after that.
const COMMAND: Duration = Duration::from_mins(1);
/// How long a disk is waited for.
const READ: Duration = Duration::from_secs(10);
/// How long calls that are under way are waited for at the end; a CO repeats what is cut off.
const LAST_CALLS: Duration = Duration::from_secs(20);

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    fs::create_dir_all(&config.run_dir)
        .with_context(|| format!("cannot make {}", config.run_dir.display()))?;
    let pages = Arc::new(Pages::new());
    tokio::spawn(http::serve(
        config.health,
        Serves::Health,
        Arc::clone(&pages),
    ));
    if let Some(address) = config.metrics {
        tokio::spawn(http::serve(address, Serves::Metrics, Arc::clone(&pages)));
    }
    let lock = config.run_dir.join("driver.lock");
    let endpoint = config.endpoint.clone();
    let _held = tokio::select! {
        held = lock::take(&lock) => held?,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let lvm = Lvm::open(Settings {
        run_dir: config.run_dir.clone(),
        // Also when an upgrade has replaced the file meanwhile.
        worker: vec!["/proc/self/exe".into(), "lvm-worker".into()],
        deadline: COMMAND,
        read_deadline: READ,
    })?;
    let driver = Driver::new(config, lvm, pages.metrics.clone());
    // It is set once: nobody else has the lock.
    let _ = pages.driver.set(driver.clone());
    background::start(&driver.0)?;
    let listener = socket::listen(&endpoint)
        .with_context(|| format!("cannot listen on {}", endpoint.display()))?;
    driver.set_ready();
    tracing::info!(
        node = driver.0.config.node,
        endpoint = %endpoint.display(),
        version = env!("CARGO_PKG_VERSION"),
        "driver started"
    );
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let server = Server::builder()
        .add_service(IdentityServer::new(driver.clone()))
        .add_service(ControllerServer::new(driver.clone()))
        .add_service(GroupControllerServer::new(driver.clone()))
        .add_service(NodeServer::new(driver.clone()))
        .add_service(SnapshotMetadataServer::new(Blocks::new(driver.clone())))
        .serve_with_incoming_shutdown(socket::connections(listener), async {
            // An error means that the sender is gone: the end as well.
            let _ = ended.await;
        });
    let server = tokio::spawn(server);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    driver.0.background.end();
    drop(end);
    if tokio::time::timeout(LAST_CALLS, server).await.is_err() {
        tracing::warn!("calls are cut off; whoever asked asks again");
    }
    tracing::info!("driver ends; volumes and mounts stay");
    Ok(())
}
