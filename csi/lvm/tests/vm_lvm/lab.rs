//! LVM by its own programs, and the commands that parts have in common.

use std::collections::BTreeSet;
use std::env;
use std::path::PathBuf;
use std::process::Command as Process;
use std::sync::Arc;
use std::time::Duration;

use fairlead_csi_lvm::{Command, Kind, LvUuid, Lvm, Settings, Vg, WhenFull};

use crate::reports::compare;

pub(crate) fn lvm() -> Lvm {
    let program = env::current_exe().expect("this program");
    let arguments = ["--exact", "serves", "--ignored", "--nocapture"].map(PathBuf::from);
    Lvm::open(Settings {
        run_dir: PathBuf::from("/run/fairlead-test"),
        worker: std::iter::once(program).chain(arguments).collect(),
        deadline: Duration::from_mins(2),
        read_deadline: Duration::from_secs(20),
    })
    .expect("opens")
}

pub(crate) fn sh(script: &str) -> String {
    let output = Process::new("bash")
        .args(["-euo", "pipefail", "-c", script])
        .output()
        .expect("bash");
    assert!(
        output.status.success(),
        "{script}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn tags(tags: &[&str]) -> BTreeSet<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

/// Runs a command that must work, and its repetition.
pub(crate) fn done(lvm: &Lvm, vg: &Arc<Vg>, command: &Command) -> Arc<Vg> {
    let vg = lvm
        .run(&vg.uuid, command)
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    compare(lvm, &vg.name);
    vg
}

pub(crate) fn id(vg: &Vg, name: &str) -> LvUuid {
    vg.lv_named(name)
        .unwrap_or_else(|| panic!("{name} is there"))
        .uuid
}

pub(crate) fn thick(name: &str, extents: u64, kind: Kind, active: bool) -> Command {
    Command::CreateThick {
        name: name.to_owned(),
        extents,
        kind,
        on: Vec::new(),
        active,
        tags: tags(&["fl.k=vol", "fl.s=making"]),
    }
}

pub(crate) fn pool(name: &str) -> Command {
    Command::CreatePool {
        name: name.to_owned(),
        extents: 64,
        metadata: 8 << 20,
        chunk: Some(64 << 10),
        when_full: WhenFull::Queue,
        tags: tags(&["fl.pool"]),
    }
}

pub(crate) fn thin(vg: &Vg, name: &str) -> Command {
    Command::CreateThin {
        name: name.to_owned(),
        pool: id(vg, "pool"),
        extents: 256,
        tags: tags(&["fl.k=vol", "fl.n=a#20b", "fl.fs=none"]),
    }
}

pub(crate) fn snapshot(vg: &Vg, of: &str, name: &str) -> Command {
    Command::Snapshot {
        of: id(vg, of),
        name: name.to_owned(),
        read_only: false,
        tags: tags(&["fl.k=snap"]),
    }
}
