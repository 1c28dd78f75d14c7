//! `/healthz`, `/readyz` and `/metrics` over HTTP/1.1.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::conditions::Board;
use crate::error::AgentError;
use crate::kernel::Outcome;
use crate::metrics::Metrics;
use crate::policy::Mailbox;

/// How long a pass, or a turn of the policy thread, may take beyond the resync period before the agent counts as stuck.
const GRACE: Duration = Duration::from_mins(1);

/// How long the counters of policy may take: a page with older ones is better than none.
const COUNT: Duration = Duration::from_secs(1);

/// What the pages are made of.
#[derive(Debug)]
pub struct Pages {
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// Conditions.
    pub board: Arc<Board>,
    /// The last pass.
    pub outcome: watch::Receiver<Outcome>,
    /// Whether plugin and configuration are in place.
    pub installed: watch::Receiver<bool>,
    /// Whether all policies are enforced, or policy is off.
    pub enforced: watch::Receiver<bool>,
    /// When the policy thread was last at work, if there is one.
    pub policy_beat: watch::Receiver<Option<Instant>>,
    /// Who counts what the policy programs have seen.
    pub counter: Option<Mailbox>,
    /// Time between two passes.
    pub resync_period: Duration,
}

/// Which pages a socket serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serves {
    /// `/healthz` and `/readyz`.
    Health,
    /// `/metrics`.
    Metrics,
}

impl Serves {
    const fn described(self) -> (&'static str, &'static str) {
        match self {
            Self::Health => ("health", "health.listen"),
            Self::Metrics => ("metrics", "metrics.listen"),
        }
    }
}

/// Takes the socket, so that a second agent on one node fails at once.
///
/// # Errors
///
/// [`AgentError::Listen`], which names the key to change.
pub async fn listen(address: SocketAddr, serves: Serves) -> Result<TcpListener, AgentError> {
    let (what, key) = serves.described();
    TcpListener::bind(address)
        .await
        .map_err(|source| AgentError::Listen {
            address,
            what,
            key,
            source,
        })
}

/// Answers on `listener` for ever.
pub async fn serve(listener: TcpListener, serves: Serves, pages: Arc<Pages>) {
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
                async move { Ok::<_, Infallible>(pages.answer(serves, &request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away is no matter of ours.
            let _ = connection.await;
        });
    }
}

impl Pages {
    async fn answer(&self, serves: Serves, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET {
            return page(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        match (serves, request.uri().path()) {
            (Serves::Health, "/healthz") => self.health(),
            (Serves::Health, "/readyz") => self.readiness(),
            (Serves::Metrics, "/metrics") => self.metrics().await,
            _ => page(StatusCode::NOT_FOUND, "no such page\n".to_owned()),
        }
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let limit = self.resync_period * 3 + GRACE;
        let beats = [
            ("the last pass", self.outcome.borrow().beat),
            ("the policy thread's last turn", *self.policy_beat.borrow()),
        ];
        let mut text = String::new();
        for (what, beat) in beats {
            if let Some(age) = beat.map(|beat| beat.elapsed()).filter(|age| *age > limit) {
                let _ = writeln!(text, "{what} was {} s ago", age.as_secs());
            }
        }
        if self.policy_beat.borrow().is_some() && self.policy_beat.has_changed().is_err() {
            text.push_str("the policy thread has ended\n");
        }
        if text.is_empty() {
            return page(StatusCode::OK, "ok\n".to_owned());
        }
        page(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn readiness(&self) -> Response<Full<Bytes>> {
        let outcome = self.outcome.borrow().clone();
        let steps = [
            ("cluster state known", outcome.view.is_some()),
            ("routes programmed", outcome.programmed),
            ("node file published", outcome.node_file),
            (
                "plugin and configuration installed",
                *self.installed.borrow(),
            ),
            ("policies enforced", *self.enforced.borrow()),
        ];
        let ready = steps.iter().all(|(_, done)| *done);
        let mut text = String::from(if ready { "ready\n" } else { "not ready\n" });
        for (step, done) in steps {
            let _ = writeln!(text, "[{}] {step}", if done { '+' } else { '-' });
        }
        for condition in self.board.all() {
            let _ = writeln!(text, "{}: {condition}", condition.name());
        }
        page(
            if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            },
            text,
        )
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        if let Some(counter) = &self.counter {
            let _ = tokio::time::timeout(COUNT, counter.count()).await;
        }
        self.metrics.show_conditions(&self.board.all());
        let mut answer = page(StatusCode::OK, self.metrics.text());
        let format = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        answer.headers_mut().insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static(format),
        );
        answer
    }
}

fn page(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn health(pages: &Pages) -> (StatusCode, String) {
        let (head, body) = pages.health().into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (head.status, String::from_utf8(text.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_policy_thread_that_hangs_or_has_died_is_not_healthy() {
        let (beat, policy_beat) = watch::channel(None);
        let pages = Pages {
            metrics: Arc::new(Metrics::new()),
            board: Arc::new(Board::default()),
            outcome: watch::channel(Outcome::default()).1,
            installed: watch::channel(true).1,
            enforced: watch::channel(true).1,
            policy_beat,
            counter: None,
            resync_period: Duration::ZERO,
        };
        let ok = (StatusCode::OK, "ok\n".to_owned());
        let wrong = |text: &str| (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
        // No policy, or not yet.
        assert_eq!(health(&pages).await, ok);
        beat.send_replace(Some(Instant::now()));
        assert_eq!(health(&pages).await, ok);
        let past = Instant::now().checked_sub(GRACE + Duration::from_secs(5));
        beat.send_replace(past);
        let text = "the policy thread's last turn was 65 s ago\n";
        assert_eq!(health(&pages).await, wrong(text));
        beat.send_replace(Some(Instant::now()));
        drop(beat);
        assert_eq!(health(&pages).await, wrong("the policy thread has ended\n"));
    }
}
