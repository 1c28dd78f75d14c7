//! What a node sees in place of the machine's folders. All of it lives in the node's own mount
//! namespace; the machine's folders are only ever read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use crate::cgroup::Groups;

/// Folders that stay readable but whose changes land in the node's own folder, so that mount
/// points in them need not exist on the machine.
const LAYERED: [&str; 4] = ["/etc", "/opt", "/var/lib", "/var/log"];

/// Folders that are the node's alone, on the machine's file system because overlayfs cannot be
/// stacked on overlayfs.
const OWN: [&str; 7] = [
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/var/lib/cni",
    "/etc/cni/net.d",
    "/opt/cni/bin",
    "/var/log/pods",
    "/var/log/containers",
];

/// Settings of the whole machine that the kubelet insists on: it is shown files that already hold
/// its values, and writes nothing.
const LOOKALIKES: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// A node's own folder on the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NodeFolder<'a>(pub(crate) &'a Path);

impl NodeFolder<'_> {
    /// Where the machine holds what the node sees at `path`, which is one of [`OWN`] or below.
    pub(crate) fn own(&self, path: &str) -> PathBuf {
        self.0.join("own").join(path.trim_start_matches('/'))
    }

    fn layer(&self, path: &str, part: &str) -> PathBuf {
        self.0
            .join("layer")
            .join(path.trim_start_matches('/').replace('/', "-"))
            .join(part)
    }
}

/// Builds the node's view, in an order in which no mount hides the source of a later one.
pub(super) fn set_up(folder: NodeFolder<'_>, groups: &Groups) -> Result<()> {
    mount_new("sysfs", "/sys", None)?;
    groups.mount()?;
    mount_new("bpf", "/sys/fs/bpf", None)?;
    mount_new("tmpfs", "/run", Some("mode=755"))?;
    for name in ["/run/lock", "/run/netns"] {
        fs::create_dir(name).with_context(|| format!("create {name}"))?;
    }
    for path in LAYERED {
        layer(folder, path)?;
    }
    for path in OWN {
        let source = folder.own(path);
        fs::create_dir_all(&source).with_context(|| format!("create {}", source.display()))?;
        fs::create_dir_all(path).with_context(|| format!("create {path}"))?;
        bind(&source, path)?;
    }
    for (knob, value) in LOOKALIKES {
        lookalike(folder, knob, value)?;
    }
    Ok(())
}

/// Shows the node a boot id that no start before it had.
pub(super) fn new_boot_id(folder: NodeFolder<'_>) -> Result<()> {
    let id = fs::read_to_string("/proc/sys/kernel/random/uuid").context("make a boot id")?;
    lookalike(folder, "kernel/random/boot_id", id.trim())
}

/// Pods that mount volumes for others need propagation, as on any node run by systemd. Comes last:
/// what is mounted before belongs to the shared tree.
pub(super) fn share() -> Result<()> {
    let shared = MsFlags::MS_REC | MsFlags::MS_SHARED;
    mount(None::<&str>, "/", None::<&str>, shared, None::<&str>).context("share the mount table")
}

/// Shows the node a file of its own in place of a setting of the whole machine.
fn lookalike(folder: NodeFolder<'_>, knob: &str, value: &str) -> Result<()> {
    let target = Path::new("/proc/sys").join(knob);
    if !target.exists() {
        return Ok(());
    }
    let source = folder.0.join(knob.replace('/', "-"));
    fs::write(&source, format!("{value}\n"))
        .with_context(|| format!("write {}", source.display()))?;
    bind(&source, target)
}

fn layer(folder: NodeFolder<'_>, path: &str) -> Result<()> {
    let (upper, work) = (folder.layer(path, "upper"), folder.layer(path, "work"));
    for part in [&upper, &work] {
        fs::create_dir_all(part).with_context(|| format!("create {}", part.display()))?;
    }
    let options = format!(
        "lowerdir={path},upperdir={},workdir={}",
        upper.display(),
        work.display()
    );
    mount_new("overlay", path, Some(&options))
}

fn mount_new(kind: &str, target: &str, options: Option<&str>) -> Result<()> {
    mount(Some(kind), target, Some(kind), MsFlags::empty(), options)
        .with_context(|| format!("mount {kind} on {target}"))
}

fn bind(source: &Path, target: impl AsRef<Path>) -> Result<()> {
    let target = target.as_ref();
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .with_context(|| format!("bind {} on {}", source.display(), target.display()))
}
