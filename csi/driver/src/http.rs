//! `/healthz`, `/readyz` and `/metrics` over HTTP/1.1.
//!
//! They answer before the node's lock is held: a second driver is alive and not ready, and says why.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::driver::Driver;
use crate::metrics::{Metrics, gather};

/// Time between two tries to listen: a second driver on the node's network waits for the first.
const AGAIN: Duration = Duration::from_secs(5);
/// How long the sizes may take: a disk that does not answer keeps nobody from the other numbers.
const GATHER: Duration = Duration::from_secs(5);

/// What the pages are made of.
#[derive(Debug)]
pub(crate) struct Pages {
    /// Metrics.
    pub(crate) metrics: Metrics,
    /// The driver, once this process has the node's lock.
    pub(crate) driver: OnceLock<Driver>,
}

/// Which pages a socket serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serves {
    /// `/healthz` and `/readyz`.
    Health,
    /// `/metrics`.
    Metrics,
}

impl Pages {
    pub(crate) fn new() -> Self {
        Self {
            metrics: Metrics::new(),
            driver: OnceLock::new(),
        }
    }
}

/// Answers on `address` for ever. While the address is taken it is tried again: pages are no reason to
/// end a driver.
pub(crate) async fn serve(address: SocketAddr, serves: Serves, pages: Arc<Pages>) {
    let mut told = false;
    let listener = loop {
        match TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(error) if !told => {
                tracing::warn!(%address, "cannot listen for {serves:?} pages, tried again: {error}");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(AGAIN).await;
    };
    answer_on(listener, serves, pages).await;
}

async fn answer_on(listener: TcpListener, serves: Serves, pages: Arc<Pages>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors: leave time for some to come back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let pages = Arc::clone(&pages);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let pages = Arc::clone(&pages);
                async move { Ok::<_, Infallible>(answer(&pages, serves, &request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no matter of ours.
            let _ = connection.await;
        });
    }
}

async fn answer(
    pages: &Arc<Pages>,
    serves: Serves,
    request: &Request<Incoming>,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET {
        return page(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
    }
    match (serves, request.uri().path()) {
        (Serves::Health, "/healthz") => page(StatusCode::OK, "ok\n"),
        (Serves::Health, "/readyz") => readiness(pages),
        (Serves::Metrics, "/metrics") => metrics(pages).await,
        _ => page(StatusCode::NOT_FOUND, "no such page\n"),
    }
}

fn readiness(pages: &Pages) -> Response<Full<Bytes>> {
    match pages.driver.get() {
        Some(driver) if driver.is_ready() => page(StatusCode::OK, "ready\n"),
        Some(_) => page(
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: the driver starts or ends\n",
        ),
        None => page(
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: another driver serves this node; this one starts when that has ended\n",
        ),
    }
}

async fn metrics(pages: &Arc<Pages>) -> Response<Full<Bytes>> {
    let driver = pages.driver.get().cloned();
    let ready = driver.as_ref().is_some_and(Driver::is_ready);
    let groups = match driver {
        Some(driver) if ready => {
            let work = tokio::task::spawn_blocking(move || gather(&driver.0));
            let done = tokio::time::timeout(GATHER, work).await;
            done.ok().and_then(Result::ok).unwrap_or_default()
        }
        _ => Vec::new(),
    };
    let mut answer = page(StatusCode::OK, pages.metrics.text(ready, &groups));
    let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format));
    answer
}

fn page(status: StatusCode, text: impl Into<String>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text.into())));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn pages(serves: Serves) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(answer_on(listener, serves, Arc::new(Pages::new())));
        address
    }

    #[tokio::test]
    async fn a_driver_without_the_lock_is_alive_and_not_ready() {
        let address = pages(Serves::Health).await;
        assert!(
            get(address, "/healthz")
                .await
                .starts_with("HTTP/1.1 200 OK")
        );
        let ready = get(address, "/readyz").await;
        assert!(
            ready.starts_with("HTTP/1.1 503 Service Unavailable"),
            "{ready}"
        );
        let why =
            "not ready: another driver serves this node; this one starts when that has ended\n";
        assert!(ready.ends_with(why), "{ready}");
        assert!(get(address, "/metrics").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn metrics_answer_without_the_lock_too() {
        let text = get(pages(Serves::Metrics).await, "/metrics").await;
        assert!(text.contains("application/openmetrics-text"), "{text}");
        assert!(text.contains("fairlead_csi_ready 0\n"), "{text}");
    }
}
