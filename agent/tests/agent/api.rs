//! As much of an API server as the agent asks for: list, watch and patch Nodes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use fairlead_e2e_lab::{LIMIT, Namespace};
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

/// Where it listens inside of the namespace.
pub(crate) const PORT: u16 = 6444;

/// The server; it and its connections end when this is dropped.
pub(crate) struct Api {
    runtime: Option<Runtime>,
    state: Arc<Mutex<State>>,
}

struct State {
    nodes: BTreeMap<String, Value>,
    version: u64,
    /// What was before is forgotten: a watch from there is refused as expired.
    oldest: u64,
    /// Nodes that are no more, with the version of their end.
    deleted: Vec<Value>,
    patches: Vec<(String, Value)>,
    events: broadcast::Sender<Value>,
}

/// The next version; one sequence for all servers, so that a new one can be asked where an old one
/// ended.
static VERSION: AtomicU64 = AtomicU64::new(1);

type Body = BoxBody<Bytes, Infallible>;

impl Api {
    /// Serves `nodes` in `ns`.
    pub(crate) fn start(ns: &Namespace, nodes: &[Value]) -> Result<Self> {
        let listener = ns.run(|| std::net::TcpListener::bind(("127.0.0.1", PORT)))??;
        listener.set_nonblocking(true)?;
        let mut state = State {
            nodes: BTreeMap::new(),
            version: 0,
            oldest: VERSION.fetch_add(1, Ordering::Relaxed),
            deleted: Vec::new(),
            patches: Vec::new(),
            events: broadcast::channel(64).0,
        };
        for node in nodes {
            state.apply(node.clone());
        }
        let state = Arc::new(Mutex::new(state));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let shared = Arc::clone(&state);
        let accept = async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move { drop(connection.await) });
            }
            anyhow::Ok(())
        };
        runtime.spawn(accept);
        Ok(Self {
            runtime: Some(runtime),
            state,
        })
    }

    /// Changes or adds a Node and tells watchers.
    pub(crate) fn apply(&self, node: &Value) {
        lock(&self.state).apply(node.clone());
    }

    /// Removes a Node and tells watchers.
    pub(crate) fn remove(&self, name: &str) {
        let mut state = lock(&self.state);
        if let Some(mut node) = state.nodes.remove(name) {
            state.version = VERSION.fetch_add(1, Ordering::Relaxed);
            node["metadata"]["resourceVersion"] = state.version.to_string().into();
            state.deleted.push(node.clone());
            let _ = state
                .events
                .send(json!({"type": "DELETED", "object": node}));
        }
    }

    /// Every patch so far, with its path.
    pub(crate) fn patches(&self) -> Vec<(String, Value)> {
        lock(&self.state).patches.clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The port is free again when this returns.
            runtime.shutdown_timeout(LIMIT);
        }
    }
}

impl State {
    fn apply(&mut self, mut node: Value) {
        self.version = VERSION.fetch_add(1, Ordering::Relaxed);
        node["metadata"]["resourceVersion"] = self.version.to_string().into();
        let name = node["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let kind = if self.nodes.contains_key(&name) {
            "MODIFIED"
        } else {
            "ADDED"
        };
        self.nodes.insert(name, node.clone());
        let _ = self.events.send(json!({"type": kind, "object": node}));
    }
}

impl State {
    /// What changed after the version that a watch begins with.
    fn since(&self, query: &str) -> Vec<Value> {
        let asked: u64 = number(query, "resourceVersion");
        if asked < self.oldest {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "reason": "Expired", "message": "too old resource version", "code": 410,
            });
            return vec![json!({"type": "ERROR", "object": status})];
        }
        let version = |node: &Value| {
            node["metadata"]["resourceVersion"]
                .as_str()?
                .parse::<u64>()
                .ok()
        };
        let newer = |node: &&Value| version(node).is_some_and(|v| v > asked);
        let event = |kind: &'static str| move |node| json!({"type": kind, "object": node});
        let changed = self.nodes.values().filter(newer).map(event("MODIFIED"));
        let gone = self.deleted.iter().filter(newer).map(event("DELETED"));
        gone.chain(changed).collect()
    }
}

/// A number of a query; 0 when it is not there.
fn number(query: &str, name: &str) -> u64 {
    let mut parts = query.split('&').filter_map(|part| part.split_once('='));
    let found = parts.find(|(key, _)| *key == name);
    found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    state: Arc<Mutex<State>>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    if *request.method() == Method::PATCH {
        let bytes = request
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default();
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let mut state = lock(&state);
        state.patches.push((path.clone(), body.clone()));
        let name = path.split('/').nth(4).unwrap_or_default().to_owned();
        let mut node = state.nodes[&name].clone();
        for part in ["status", "metadata"] {
            for (key, value) in body[part].as_object().into_iter().flatten() {
                node[part][key] = value.clone();
            }
        }
        state.apply(node.clone());
        return Ok(full(&node));
    }
    if query.contains("watch=true") {
        let (missed, receiver) = {
            let state = lock(&state);
            (state.since(&query), state.events.subscribe())
        };
        let frame = |event: Value| Ok(Frame::data(Bytes::from(format!("{event}\n"))));
        // As the real one does, a watch ends when it has lasted as long as asked for.
        let end =
            tokio::time::Instant::now() + Duration::from_secs(number(&query, "timeoutSeconds"));
        let news = stream::unfold(receiver, move |mut receiver| async move {
            let event = tokio::time::timeout_at(end, receiver.recv()).await;
            Some((frame(event.ok()?.ok()?), receiver))
        });
        let lines = stream::iter(missed.into_iter().map(frame)).chain(news);
        return Ok(Response::new(BodyExt::boxed(StreamBody::new(lines))));
    }
    let state = lock(&state);
    Ok(full(&json!({
        "apiVersion": "v1", "kind": "NodeList",
        "metadata": {"resourceVersion": state.version.to_string()},
        "items": state.nodes.values().collect::<Vec<_>>(),
    })))
}

fn full(value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    response
}
