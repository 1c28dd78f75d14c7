//! A member's first process.

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};
use nix::unistd::sethostname;

use crate::plan::{Cluster, Member};
use crate::supervisor::{Service, Supervisor};
use crate::{controlplane, forward, node, stage};

/// Runs the member until it is killed.
pub(crate) fn run(cluster: &Cluster, member: Member) -> Result<()> {
    if !stage::is_released() {
        return Ok(());
    }
    match member {
        Member::Api => forward::serve(cluster),
        Member::ControlPlane => {
            own_root(member)?;
            controlplane::run(cluster)
        }
        Member::Outside => {
            own_root(member)?;
            outside(cluster)
        }
        Member::Node(index) => {
            own_root(member)?;
            node::run(cluster, index)
        }
    }
}

/// A mount table that propagates nothing back, with the `/proc` of the new pid namespace.
fn own_root(member: Member) -> Result<()> {
    sethostname(member.to_string()).context("set the host name")?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .context("make the mount table private")?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("mount /proc")
}

/// The world beyond the cluster: a server that tells who called.
fn outside(cluster: &Cluster) -> Result<()> {
    let mut supervisor = Supervisor::new(cluster, Member::Outside);
    let ports = ["--http-port=8080", "--udp-port=8081"];
    supervisor.start(
        Service::new("netexec", cluster.tool("agnhost"))
            .args(["netexec"])
            .args(ports),
    )?;
    supervisor.run()
}
