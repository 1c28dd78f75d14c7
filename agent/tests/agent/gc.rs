//! Collection of leases against a container runtime that answers `ListPodSandbox`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use fairlead_e2e_lab::Namespace;
use fairlead_ipam::{Config, Env, Netns, NetworkName, Owner, Request, Store};
use futures_util::stream;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tonic::{Response, Status};

use crate::harness::{Agent, Cluster};

#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    unreachable_pub,
    reason = "generated from proto/cri.proto"
)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/server/runtime.v1.rs"));
}

use proto::runtime_service_server::{RuntimeService, RuntimeServiceServer};

/// A container runtime with a fixed set of sandboxes.
struct Sandboxes(Vec<String>);

#[tonic::async_trait]
impl RuntimeService for Sandboxes {
    async fn list_pod_sandbox(
        &self,
        _: tonic::Request<proto::ListPodSandboxRequest>,
    ) -> Result<Response<proto::ListPodSandboxResponse>, Status> {
        let items = self
            .0
            .iter()
            .map(|id| proto::PodSandbox { id: id.clone() })
            .collect();
        Ok(Response::new(proto::ListPodSandboxResponse { items }))
    }
}

fn serve(socket: &Path, ids: &[&str]) -> Result<Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let service =
        RuntimeServiceServer::new(Sandboxes(ids.iter().map(ToString::to_string).collect()));
    let listener = runtime.block_on(async { UnixListener::bind(socket) })?;
    let incoming = stream::unfold(listener, |listener| async move {
        let connection = listener.accept().await.map(|(stream, _)| stream);
        Some((connection, listener))
    });
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(incoming),
    );
    Ok(runtime)
}

/// Leases of the agent's network in its data folder.
struct Leases {
    folder: PathBuf,
    env: Env,
    network: &'static str,
}

impl Leases {
    fn of(folder: PathBuf, network: &'static str) -> Result<Self> {
        Ok(Self {
            folder,
            env: Env::observer("/")?,
            network,
        })
    }

    fn store(&self) -> Result<Store<'_>> {
        Ok(Store::open(
            &self.folder,
            &NetworkName::new(self.network)?,
            &self.env,
        )?)
    }

    fn allocate(&self, container: &str, netns: &Netns) -> Result<()> {
        let ranges = ["10.244.0.0/24".parse()?, "fd00:244::/64".parse()?];
        let config = Config::for_pod_ranges(self.network, &self.folder, &ranges)?;
        let request = Request {
            owner: &Owner::new(container, "eth0")?,
            netns: Some(netns),
            sets: &config.sets,
            requested: &config.requested,
        };
        self.store()?.allocate(&request, SystemTime::now())?;
        Ok(())
    }

    fn held_by(&self, container: &str) -> Result<Vec<IpAddr>> {
        Ok(self.store()?.held_by(&Owner::new(container, "eth0")?)?)
    }
}

fn gone() -> Netns {
    Netns {
        path: "/run/netns/gone".into(),
        dev: 4,
        inode: 1,
    }
}

struct Scene {
    agent: Agent,
    leases: Leases,
    _sandboxes: Runtime,
    _alive: Namespace,
    cluster: Cluster,
    _sockets: tempfile::TempDir,
}

/// An agent whose runtime knows the sandbox `known`, with leases of four pods: `known`, `running`
/// (unknown, but its namespace is there), and two that are gone.
fn scene(gc: &str) -> Result<Scene> {
    let cluster = Cluster::new(1)?;
    let sockets = tempfile::tempdir()?;
    let socket = sockets.path().join("cri.sock");
    let sandboxes = serve(&socket, &["known", "other"])?;
    let extra = format!("gc: {{runtimeEndpoint: {}, {gc}}}", socket.display());
    let agent = cluster.agent(0, &extra)?;
    let leases = Leases::of(agent.path("data"), "fairlead")?;
    let alive = Namespace::new("pod")?;
    leases.allocate("known", &gone())?;
    leases.allocate("running", &Netns::at(alive.path())?)?;
    leases.allocate("leak1", &gone())?;
    leases.allocate("leak2", &gone())?;
    Ok(Scene {
        agent,
        leases,
        _sandboxes: sandboxes,
        _alive: alive,
        cluster,
        _sockets: sockets,
    })
}

impl Scene {
    fn wait_gc_passes(&self, n: u8) -> Result<()> {
        let passes = || self.agent.metric("fairlead_gc_passes_total");
        self.agent.wait("metrics", || Ok(passes().is_ok()))?;
        let end = passes()? + i64::from(n);
        self.agent.wait("collector passes", || Ok(passes()? >= end))
    }
}

#[test]
fn leases_of_pods_that_are_gone_are_removed_and_no_others() -> Result<()> {
    let scene = scene("period: 0s, minAge: 0s")?;
    let other = Leases::of(scene.agent.path("data"), "other")?;
    other.allocate("leak3", &gone())?;
    for leak in ["leak1", "leak2"] {
        scene
            .agent
            .wait(leak, || Ok(scene.leases.held_by(leak)?.is_empty()))?;
    }
    scene.wait_gc_passes(5)?;
    assert_eq!(scene.leases.held_by("known")?.len(), 2);
    assert_eq!(scene.leases.held_by("running")?.len(), 2);
    assert_eq!(
        other.held_by("leak3")?.len(),
        2,
        "another network is none of ours"
    );
    assert_eq!(scene.agent.metric("fairlead_gc_removed_leases_total")?, 4);
    Ok(())
}

#[test]
fn young_leases_stay_with_the_default_age() -> Result<()> {
    let scene = scene("period: 0s")?;
    scene.wait_gc_passes(10)?;
    assert_eq!(scene.leases.held_by("leak1")?.len(), 2);
    assert_eq!(scene.agent.metric("fairlead_gc_removed_leases_total")?, 0);
    Ok(())
}

#[test]
fn without_the_runtimes_socket_nothing_is_removed() -> Result<()> {
    let cluster = Cluster::new(1)?;
    let agent = cluster.agent(
        0,
        "gc: {runtimeEndpoint: /nonexistent/cri.sock, period: 0s, minAge: 0s}",
    )?;
    let leases = Leases::of(agent.path("data"), "fairlead")?;
    leases.allocate("leak", &gone())?;
    let errors = "fairlead_errors_total{kind=\"runtime\"}";
    agent.wait("failed passes", || {
        Ok(agent.metric(errors).is_ok_and(|n| n >= 5))
    })?;
    assert_eq!(leases.held_by("leak")?.len(), 2);
    assert!(agent.log().contains(
        "lease collection skipped: cannot reach the container runtime at /nonexistent/cri.sock: \
         No such file or directory (os error 2); check gc.runtimeEndpoint"
    ));
    Ok(())
}

#[test]
fn usage_and_pods_outside_of_the_ranges_are_told() -> Result<()> {
    let scene = scene("period: 1h")?;
    let used = "fairlead_leases_used{range=\"10.244.0.0/24\"}";
    scene.agent.wait_ready()?;
    scene
        .agent
        .wait("usage", || Ok(scene.agent.metric(used).is_ok()))?;
    let range = "podCIDRs: ['10.244.0.0/24', 'fd00:244:0::/64']";
    let moved = scene
        .cluster
        .object(0)
        .replace(range, "podCIDRs: ['10.244.8.0/24', 'fd00:244:8::/64']");
    scene.cluster.nodes.write("n0", &moved)?;
    scene.agent.wait_condition(
        "PodsOutsideRange: 4 pods of this node hold addresses outside of its pod ranges \
         10.244.8.0/24,fd00:244:8::/64; other nodes cannot reach them: delete these pods so that they \
         come back with new addresses",
    )?;
    let free = "fairlead_leases_free{range=\"10.244.8.0/24\"}";
    assert_eq!(scene.agent.metric(free)?, 254);
    Ok(())
}
