//! One port on the machine's loopback that leads to the API server.
//!
//! The control plane has a network of its own and nothing is added to the machine's. A listening
//! socket stays in the namespace that it was made in, so this process opens it first, enters the
//! control plane's network and connects from there.

use std::fs::{self, File};
use std::io::copy;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

use crate::member;
use crate::plan::{API_PORT, Cluster, Member};
use crate::poll;

/// Serves until killed.
pub(crate) fn serve(cluster: &Cluster) -> Result<()> {
    let listener = listen(cluster)?;
    let partial = port_file(cluster).with_extension("partial");
    fs::write(&partial, listener.local_addr()?.port().to_string())?;
    fs::rename(&partial, port_file(cluster)).context("publish the port")?;
    let control_plane = member::require(cluster, Member::ControlPlane)?;
    let namespace = File::open(format!("/proc/{}/ns/net", control_plane.pid))?;
    setns(namespace, CloneFlags::CLONE_NEWNET).context("enter the control plane's network")?;
    for client in listener.incoming() {
        let client = client.context("accept")?;
        thread::spawn(move || {
            if let Err(error) = relay(client) {
                eprintln!("connection: {error:#}");
            }
        });
    }
    Ok(())
}

/// The port that [`serve`] listens on, as soon as it does.
pub(crate) fn port(cluster: &Cluster) -> Result<u16> {
    poll::until("port of the forwarder", Duration::from_secs(10), || {
        Ok(known_port(cluster))
    })
}

/// The port of an earlier run is taken again where it is free, so that kubeconfigs stay valid.
fn listen(cluster: &Cluster) -> Result<TcpListener> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    known_port(cluster)
        .and_then(|port| bind(port).ok())
        .map_or_else(|| bind(0), Ok)
        .context("listen on 127.0.0.1")
}

fn known_port(cluster: &Cluster) -> Option<u16> {
    fs::read_to_string(port_file(cluster)).ok()?.parse().ok()
}

fn port_file(cluster: &Cluster) -> PathBuf {
    cluster.folder(Member::Api).join("port")
}

fn relay(client: TcpStream) -> Result<()> {
    let server = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, API_PORT)))
        .context("connect to the API server")?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = (client.try_clone()?, client);
    let (from_server, to_server) = (server.try_clone()?, server);
    let upstream = thread::spawn(move || pump(&from_client, &to_server));
    pump(&from_server, &to_client);
    // Both directions have ended when both sides have said so.
    let _ = upstream.join();
    Ok(())
}

/// Copies one direction. An error is an end like any other: the other side learns of it.
fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
