//! As much of an API server as the agent asks for: lists in pages and watches of any kind of object.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use fairlead_e2e_lab::{LIMIT, Namespace};
use futures_util::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

/// Where it listens inside of the namespace.
pub(crate) const PORT: u16 = 6444;

/// Objects in a page of a list.
const PAGE: usize = 2;

/// The server; it and its connections end when this is dropped.
pub(crate) struct Api {
    runtime: Option<Runtime>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// By the last part of the path, then by namespace and name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Kinds that are not answered.
    silent: Vec<String>,
    version: u64,
    events: broadcast::Sender<(String, Value)>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Api {
    /// Serves in `ns`; of the kinds `silent` nothing is told.
    pub(crate) fn start(ns: &Namespace, silent: &[&str]) -> Result<Self> {
        let listener = ns.run(|| std::net::TcpListener::bind(("127.0.0.1", PORT)))??;
        listener.set_nonblocking(true)?;
        let state = Arc::new(Mutex::new(State {
            objects: BTreeMap::new(),
            silent: silent.iter().map(ToString::to_string).collect(),
            version: 1,
            events: broadcast::channel(64).0,
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let shared = Arc::clone(&state);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            while let Ok((socket, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    std::future::ready(Ok::<_, Infallible>(answer(&shared, &request)))
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move { drop(connection.await) });
            }
            anyhow::Ok(())
        });
        Ok(Self {
            runtime: Some(runtime),
            state,
        })
    }

    /// Adds an object, or changes it, and tells watchers.
    pub(crate) fn apply(&self, plural: &str, object: Value) {
        let mut state = lock(&self.state);
        let object = state.numbered(object);
        let kind = state.objects.entry(plural.to_owned()).or_default();
        let old = kind.insert(key(&object), object.clone());
        let event = if old.is_some() { "MODIFIED" } else { "ADDED" };
        let event = json!({"type": event, "object": object});
        let _ = state.events.send((plural.to_owned(), event));
    }

    /// Removes an object and tells watchers.
    pub(crate) fn remove(&self, plural: &str, key: &str) {
        let mut state = lock(&self.state);
        let kind = state.objects.entry(plural.to_owned()).or_default();
        if let Some(object) = kind.remove(key) {
            let object = state.numbered(object);
            let event = json!({"type": "DELETED", "object": object});
            let _ = state.events.send((plural.to_owned(), event));
        }
    }

    /// Answers for all kinds from now on.
    pub(crate) fn speak(&self) {
        lock(&self.state).silent.clear();
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
    fn numbered(&mut self, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        object
    }

    /// A page of a list. `from` is where it begins.
    fn list(&self, plural: &str, from: usize) -> Value {
        let all = self.objects.get(plural).into_iter().flatten();
        let page: Vec<&Value> = all
            .map(|(_, object)| object)
            .skip(from)
            .take(PAGE + 1)
            .collect();
        let mut metadata = json!({"resourceVersion": self.version.to_string()});
        if page.len() > PAGE {
            metadata["continue"] = (from + PAGE).to_string().into();
        }
        json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page.iter().take(PAGE).collect::<Vec<_>>()})
    }
}

fn key(object: &Value) -> String {
    let text = |field: &str| {
        object["metadata"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    format!("{}/{}", text("namespace"), text("name"))
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn answer(state: &Mutex<State>, request: &Request<Incoming>) -> Response<Body> {
    let plural = request
        .uri()
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let state = lock(state);
    if state.silent.contains(&plural) {
        let mut forbidden = whole(
            &json!({"kind": "Status", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "not yet"}),
        );
        *forbidden.status_mut() = hyper::StatusCode::FORBIDDEN;
        return forbidden;
    }
    if parameter(&query, "watch").is_none_or(|watch| watch == "false" || watch == "0") {
        let from = parameter(&query, "continue").and_then(|from| from.parse().ok());
        return whole(&state.list(&plural, from.unwrap_or_default()));
    }
    let since: u64 = parameter(&query, "resourceVersion")
        .and_then(|v| v.parse().ok())
        .unwrap_or_default();
    let known = state.objects.get(&plural).into_iter().flatten();
    let newer = |object: &Value| {
        let version = object["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|v| v.parse::<u64>().ok());
        version.is_some_and(|version| version > since)
    };
    let missed: Vec<Value> = known
        .filter(|(_, object)| newer(object))
        .map(|(_, object)| json!({"type": "MODIFIED", "object": object}))
        .collect();
    let events = state.events.subscribe();
    let live = stream::unfold(events, |mut events| async move {
        events.recv().await.ok().map(|event| (event, events))
    });
    let live =
        live.filter_map(move |(of, event)| std::future::ready((of == plural).then_some(event)));
    let lines = stream::iter(missed)
        .chain(live)
        .map(|event| Ok::<_, Infallible>(Frame::data(Bytes::from(format!("{event}\n")))));
    Response::new(BodyExt::boxed(StreamBody::new(Box::pin(lines))))
}

fn whole(value: &Value) -> Response<Body> {
    Response::new(Full::new(Bytes::from(value.to_string())).boxed())
}
