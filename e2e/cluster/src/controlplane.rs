//! etcd, API server, controller manager and scheduler.

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::plan::{API_PORT, Cluster, Member, POD_RANGES, ROUTER, SERVICE_RANGES};
use crate::poll;
use crate::supervisor::{Service, Supervisor};

const START_LIMIT: Duration = Duration::from_mins(2);
const ETCD: &str = "http://127.0.0.1:2379";
const ETCD_PEERS: &str = "http://127.0.0.1:2380";

/// Runs the control plane until its first process is killed.
pub(crate) fn run(cluster: &Cluster) -> Result<()> {
    let mut supervisor = Supervisor::new(cluster, Member::ControlPlane);
    wait_for_loopback()?;
    supervisor.start(etcd(cluster)?)?;
    wait_for_port("etcd", 2379)?;
    supervisor.start(api_server(cluster))?;
    wait_for_port("API server", API_PORT)?;
    supervisor.start(controller_manager(cluster))?;
    supervisor.start(scheduler(cluster))?;
    supervisor.run()
}

/// The underlay is set up from outside while this process starts.
fn wait_for_loopback() -> Result<()> {
    poll::until("loopback of the control plane", START_LIMIT, || {
        let listener = std::net::TcpListener::bind((ROUTER.0, 0));
        Ok(listener.is_ok().then_some(()))
    })
}

fn wait_for_port(what: &str, port: u16) -> Result<()> {
    poll::until(&format!("{what} on port {port}"), START_LIMIT, || {
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok())
    })?;
    Ok(())
}

fn etcd(cluster: &Cluster) -> Result<Service> {
    let data = cluster.folder(Member::ControlPlane).join("etcd");
    fs::create_dir_all(&data).context("create etcd's folder")?;
    // A lab's data need not survive a crash of the machine.
    Ok(
        Service::new("etcd", cluster.cache.join("debs/usr/bin/etcd")).args([
            "--name=lab".to_owned(),
            format!("--data-dir={}", data.display()),
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={ETCD}"),
            format!("--advertise-client-urls={ETCD}"),
            format!("--listen-peer-urls={ETCD_PEERS}"),
            format!("--initial-advertise-peer-urls={ETCD_PEERS}"),
            format!("--initial-cluster=lab={ETCD_PEERS}"),
            "--log-level=warn".to_owned(),
        ]),
    )
}

fn api_server(cluster: &Cluster) -> Service {
    let pki = |name: &str| cluster.pki(name).display().to_string();
    Service::new("apiserver", cluster.tool("kube-apiserver")).args([
        format!("--etcd-servers={ETCD}"),
        format!("--secure-port={API_PORT}"),
        format!("--advertise-address={}", ROUTER.0),
        format!("--service-cluster-ip-range={SERVICE_RANGES}"),
        format!("--tls-cert-file={}", pki("apiserver.crt")),
        format!("--tls-private-key-file={}", pki("apiserver.key")),
        format!("--client-ca-file={}", pki("ca.crt")),
        format!("--kubelet-client-certificate={}", pki("kubelet-client.crt")),
        format!("--kubelet-client-key={}", pki("kubelet-client.key")),
        format!("--kubelet-certificate-authority={}", pki("ca.crt")),
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".to_owned(),
        format!("--service-account-key-file={}", pki("sa.pub")),
        format!("--service-account-signing-key-file={}", pki("sa.key")),
        format!("--requestheader-client-ca-file={}", pki("ca.crt")),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
        format!("--proxy-client-cert-file={}", pki("front-proxy.crt")),
        format!("--proxy-client-key-file={}", pki("front-proxy.key")),
        // No kube-proxy runs here, so Services are reached by their endpoints.
        "--enable-aggregator-routing=true".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
        "--v=1".to_owned(),
    ])
}

fn controller_manager(cluster: &Cluster) -> Service {
    let pki = |name: &str| cluster.pki(name).display().to_string();
    let folder = cluster.folder(Member::ControlPlane);
    Service::new(
        "controller-manager",
        cluster.tool("kube-controller-manager"),
    )
    .args(client_flags(cluster, "controller-manager", &folder))
    .args([
        format!("--root-ca-file={}", pki("ca.crt")),
        format!("--service-account-private-key-file={}", pki("sa.key")),
        "--use-service-account-credentials=true".to_owned(),
        format!("--cluster-signing-cert-file={}", pki("ca.crt")),
        format!("--cluster-signing-key-file={}", pki("ca.key")),
        format!("--requestheader-client-ca-file={}", pki("ca.crt")),
        "--allocate-node-cidrs=true".to_owned(),
        "--configure-cloud-routes=false".to_owned(),
        format!("--cluster-cidr={POD_RANGES}"),
        format!("--service-cluster-ip-range={SERVICE_RANGES}"),
        // The default is a folder of the machine, which it would create.
        format!(
            "--flex-volume-plugin-dir={}",
            folder.join("flexvolume").display()
        ),
    ])
}

fn scheduler(cluster: &Cluster) -> Service {
    let folder = cluster.folder(Member::ControlPlane);
    Service::new("scheduler", cluster.tool("kube-scheduler")).args(client_flags(
        cluster,
        "scheduler",
        &folder,
    ))
}

/// What controller manager and scheduler have in common.
fn client_flags(cluster: &Cluster, name: &str, folder: &Path) -> Vec<String> {
    let kubeconfig = cluster
        .pki(&format!("{name}.kubeconfig"))
        .display()
        .to_string();
    vec![
        format!("--kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--leader-elect=false".to_owned(),
        format!("--cert-dir={}", folder.join(name).display()),
        "--v=1".to_owned(),
    ]
}
