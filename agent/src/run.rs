//! Wires the parts together and ends when asked to, leaving all state in place.

use std::sync::Arc;

use fairlead_cni_node::Mode;
use fairlead_ipam::{Env, NetworkName};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::conditions::Board;
use crate::config::{Config, StateSource};
use crate::error::AgentError;
use crate::gc::Leases;
use crate::http::{self, Pages, Serves};
use crate::kernel::{Outcome, Reconciler};
use crate::metrics::Metrics;
use crate::policy::Mailbox;
use crate::policy::enforcement::Enforcement;
use crate::policy::source::kubernetes::Watches;
use crate::source::{self, Known};
use crate::{checksum, install, lock, nodestatus, policy, reconcile};

/// Each part runs until the process ends; one that returns ends the process.
pub(crate) type Parts = JoinSet<Result<(), AgentError>>;

/// What all parts share.
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) node: String,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) board: Arc<Board>,
}

/// Runs the agent until SIGTERM or SIGINT.
///
/// # Errors
///
/// The first thing without which the agent cannot go on.
pub async fn run(config: Config) -> Result<(), AgentError> {
    let mut terminate = ending(SignalKind::terminate())?;
    let mut interrupt = ending(SignalKind::interrupt())?;
    let named = config
        .node_name
        .clone()
        .or_else(|| std::env::var("NODE_NAME").ok());
    let node = named
        .filter(|name| !name.is_empty())
        .ok_or(AgentError::NoNodeName)?;
    let _lock = lock::take(&config.run_dir)?;
    let shared = Shared {
        config: Arc::new(config),
        node,
        metrics: Arc::new(Metrics::new()),
        board: Arc::new(Board::default()),
    };
    let mut parts = Parts::new();
    start(&shared, &mut parts).await?;
    tracing::info!(
        node = shared.node,
        version = env!("CARGO_PKG_VERSION"),
        "agent started"
    );
    tokio::select! {
        ended = parts.join_next() => match ended {
            Some(Ok(result)) => result,
            _ => Err(AgentError::PartEnded),
        },
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }?;
    tracing::info!("agent ends; routes, nftables, node file and configuration stay");
    Ok(())
}

async fn start(shared: &Shared, parts: &mut Parts) -> Result<(), AgentError> {
    let config = &shared.config;
    let (outcome_in, outcome) = watch::channel(Outcome::default());
    let (installed_in, installed) = watch::channel(!config.cni.install);
    let enforcement = Enforcement::new(shared);
    serve(shared, parts, &outcome, (installed, &enforcement)).await?;

    let known = start_source(shared, parts, &outcome, enforcement.mailbox.as_ref()).await?;
    let reconciler = Reconciler::new(
        Arc::clone(config),
        shared.node.clone(),
        Arc::clone(&shared.metrics),
        Arc::clone(&shared.board),
        Arc::clone(&enforcement.rule),
    )?;
    let (notices, events) = reconcile::watch_kernel()?;
    enforcement.start(shared, parts, notices)?;
    let (period, metrics) = (config.resync_period, Arc::clone(&shared.metrics));
    parts.spawn(async move {
        reconcile::run(reconciler, known, events, outcome_in, period, metrics).await;
        Err(AgentError::PartEnded)
    });
    if config.cni.install {
        let config = Arc::clone(config);
        let (board, metrics) = (Arc::clone(&shared.board), Arc::clone(&shared.metrics));
        let outcome = outcome.clone();
        parts.spawn(
            async move { install::run(&config, outcome, installed_in, board, metrics).await },
        );
    }
    if config.network.mode == Mode::Vxlan {
        let (config, board) = (Arc::clone(config), Arc::clone(&shared.board));
        let outcome = outcome.clone();
        parts.spawn(async move {
            checksum::run(&config, outcome, board).await;
            Ok(())
        });
    }
    let leases = Leases {
        cni: config.cni.clone(),
        network: NetworkName::new(&config.network.name)?,
        env: Env::observer("/")?,
        metrics: Arc::clone(&shared.metrics),
        board: Arc::clone(&shared.board),
    };
    let gc = config.gc.clone();
    parts.spawn(async move {
        leases.run(gc.as_ref(), outcome).await;
        Ok(())
    });
    Ok(())
}

async fn serve(
    shared: &Shared,
    parts: &mut Parts,
    outcome: &watch::Receiver<Outcome>,
    (installed, enforcement): (watch::Receiver<bool>, &Enforcement),
) -> Result<(), AgentError> {
    let pages = Arc::new(Pages {
        metrics: Arc::clone(&shared.metrics),
        board: Arc::clone(&shared.board),
        outcome: outcome.clone(),
        installed,
        enforced: enforcement.enforced.subscribe(),
        policy_beat: enforcement.beat.subscribe(),
        counter: enforcement.mailbox.clone(),
        resync_period: shared.config.resync_period,
    });
    let sockets = [
        (Some(shared.config.health), Serves::Health),
        (shared.config.metrics, Serves::Metrics),
    ];
    for (address, serves) in sockets {
        let Some(address) = address else { continue };
        let listener = http::listen(address, serves).await?;
        let pages = Arc::clone(&pages);
        parts.spawn(async move {
            http::serve(listener, serves, pages).await;
            Ok(())
        });
    }
    Ok(())
}

/// Starts the configured source, and what writes back to it.
async fn start_source(
    shared: &Shared,
    parts: &mut Parts,
    outcome: &watch::Receiver<Outcome>,
    policy: Option<&Mailbox>,
) -> Result<watch::Receiver<Known>, AgentError> {
    let (sink, known) = watch::channel(Known::default());
    let (board, metrics) = (Arc::clone(&shared.board), Arc::clone(&shared.metrics));
    let config = Arc::clone(&shared.config);
    match &shared.config.cluster_state {
        StateSource::Directory(folder) => {
            let folder = folder.clone();
            if let Some(mailbox) = policy.cloned() {
                let (folder, period) = (folder.clone(), config.resync_period);
                let (board, metrics) = (Arc::clone(&board), Arc::clone(&metrics));
                parts.spawn(policy::source::directory::run(
                    folder, period, mailbox, board, metrics,
                ));
            }
            parts.spawn(async move {
                let annotation = config.address.annotation();
                let period = config.resync_period;
                source::directory::run(&folder, annotation, period, &sink, board, metrics).await
            });
        }
        StateSource::Kubernetes => {
            let client = source::kubernetes::client(config.api.watch_timeout).await?;
            if let Some(mailbox) = policy.cloned() {
                let watches = Watches {
                    client: client.clone(),
                    times: config.api,
                    mailbox,
                    board: Arc::clone(&board),
                    metrics: Arc::clone(&metrics),
                };
                parts.spawn(async move {
                    watches.run().await;
                    Ok(())
                });
            }
            let (outcome, node) = (outcome.clone(), shared.node.clone());
            let (status_client, status_config) = (client.clone(), Arc::clone(&config));
            let (status_board, status_metrics) = (Arc::clone(&board), Arc::clone(&metrics));
            parts.spawn(async move {
                let config = &status_config;
                nodestatus::run(
                    status_client,
                    &node,
                    config,
                    outcome,
                    status_board,
                    status_metrics,
                )
                .await;
                Ok(())
            });
            parts.spawn(async move {
                let annotation = config.address.annotation();
                let asked = (annotation, config.api);
                source::kubernetes::run(client, asked, &sink, board, metrics).await;
                Ok(())
            });
        }
    }
    Ok(known)
}

fn ending(kind: SignalKind) -> Result<tokio::signal::unix::Signal, AgentError> {
    signal(kind).map_err(|source| AgentError::file("watch for", "the end signal".as_ref(), source))
}
