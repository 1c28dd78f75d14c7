//! Asks the container runtime which pod sandboxes exist (CRI v1 over its unix socket).

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

#[expect(
    clippy::allow_attributes_without_reason,
    unreachable_pub,
    reason = "generated from proto/cri.proto"
)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/client/runtime.v1.rs"));
}

/// How long the runtime may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the runtime's sandboxes are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum CriError {
    #[error("cannot reach the container runtime at {path}: {source}; check gc.runtimeEndpoint")]
    Connect {
        path: PathBuf,
        source: Box<dyn Error + Send + Sync>,
    },
    #[error("the container runtime at {path} cannot list pod sandboxes: {message}")]
    List { path: PathBuf, message: String },
}

/// The ids of all sandboxes, ready or not.
pub(super) async fn sandboxes(socket: &Path) -> Result<BTreeSet<String>, CriError> {
    let path = socket.to_owned();
    let connect = service_fn(move |_: Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address only fills the :authority header.
    let channel = Endpoint::from_static("http://localhost")
        .timeout(TIMEOUT)
        .connect_timeout(TIMEOUT)
        .connect_with_connector(connect)
        .await
        .map_err(|error| CriError::Connect {
            path: socket.to_owned(),
            source: cause(&error),
        })?;
    let mut client = proto::runtime_service_client::RuntimeServiceClient::new(channel)
        .max_decoding_message_size(64 << 20);
    let answer = client
        .list_pod_sandbox(proto::ListPodSandboxRequest {})
        .await
        .map_err(|status| CriError::List {
            path: socket.to_owned(),
            message: status.message().to_owned(),
        })?;
    Ok(answer
        .into_inner()
        .items
        .into_iter()
        .map(|sandbox| sandbox.id)
        .collect())
}

/// What lies behind a transport error, whose own text says nothing.
fn cause(error: &tonic::transport::Error) -> Box<dyn Error + Send + Sync> {
    let mut deepest: &dyn Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string().into()
}
