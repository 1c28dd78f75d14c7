//! What all services share, and the way from a call to its work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use fairlead_csi_lvm::Lvm;
use fairlead_csi_mount::Tools;
use tonic::{Code, Request, Response, Status};

use crate::background::Background;
use crate::commands::Commands;
use crate::config::Config;
use crate::error::DriverError;
use crate::groups::Groups;
use crate::inflight::InFlight;
use crate::metrics::Metrics;

/// The services; all copies are one driver.
#[derive(Debug, Clone)]
pub(crate) struct Driver(pub(crate) Arc<Shared>);

/// What all calls share. State is LVM's: everything here can be lost at any time.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) lvm: Commands,
    pub(crate) tools: Tools,
    pub(crate) groups: Groups,
    pub(crate) inflight: InFlight,
    pub(crate) background: Background,
    pub(crate) metrics: Metrics,
    ready: AtomicBool,
}

impl Driver {
    pub(crate) fn new(config: Config, lvm: Lvm, metrics: Metrics) -> Self {
        let lvm = Arc::new(lvm);
        Self(Arc::new(Shared {
            groups: Groups::new(Arc::clone(&lvm), &config),
            config,
            lvm: Commands::new(lvm, metrics.clone()),
            tools: Tools::default(),
            inflight: InFlight::default(),
            background: Background::default(),
            metrics,
            ready: AtomicBool::new(false),
        }))
    }

    /// Whether this process has the node to itself and knows what there is.
    pub(crate) fn is_ready(&self) -> bool {
        self.0.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_ready(&self) {
        self.0.ready.store(true, Ordering::Release);
    }

    /// Does the work of a call on a thread that may wait. It goes on when the caller goes away, and holds
    /// what it claimed until it is through.
    pub(crate) async fn waiting<Q, A>(
        &self,
        call: &'static str,
        request: Request<Q>,
        work: impl FnOnce(&Arc<Shared>, &Q) -> Result<A, DriverError> + Send + 'static,
    ) -> Result<Response<A>, Status>
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let start = Instant::now();
        let result = if self.is_ready() {
            let shared = Arc::clone(&self.0);
            let request = request.into_inner();
            let work = tokio::task::spawn_blocking(move || work(&shared, &request));
            let ended = "the call's thread ended early; see the log";
            work.await
                .unwrap_or_else(|_| Err(DriverError::internal(ended)))
        } else {
            let why = "another process of this driver holds the node, or this one is not ready yet";
            Err(DriverError::unavailable(why))
        };
        let result = result.map(Response::new).map_err(|error| {
            tracing::warn!(call, "{error}");
            Status::from(error)
        });
        let code = result.as_ref().err().map_or(Code::Ok, Status::code);
        let seconds = start.elapsed().as_secs_f64();
        self.0.metrics.call(call, code, seconds);
        result
    }
}

/// Implements a service whose calls each are one function of the driver and the request.
macro_rules! service {
    ($service:ident {
        $($name:ident($request:ident) -> $response:ident = $function:path;)*
    }) => {
        #[tonic::async_trait]
        impl $service for Driver {
            $(
                async fn $name(
                    &self,
                    request: tonic::Request<fairlead_csi_spec::v1::$request>,
                ) -> Result<tonic::Response<fairlead_csi_spec::v1::$response>, tonic::Status> {
                    self.waiting(stringify!($name), request, $function).await
                }
            )*
        }
    };
}
pub(crate) use service;
