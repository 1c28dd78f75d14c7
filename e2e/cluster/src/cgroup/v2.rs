//! Control groups version 2: the unified hierarchy.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

const ROOT: &str = "/sys/fs/cgroup";
/// Where a node's own programs run: a group that has children with controllers holds no process.
const LEAF: &str = "init";
/// What the kubelet asks for.
const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// Reads the mount point from one line of `mountinfo`; `None` when it is something else.
pub(super) fn parse(line: &str) -> Option<PathBuf> {
    let (left, right) = line.split_once(" - ")?;
    right
        .starts_with("cgroup2 ")
        .then(|| left.split(' ').nth(4).map(PathBuf::from))?
}

/// Joins the group `path`. Controllers are passed down to it from the root, where an init system
/// has normally switched them on already.
pub(super) fn join(root: &Path, path: &Path) -> Result<()> {
    let group = root.join(path);
    fs::create_dir_all(&group).with_context(|| format!("create {}", group.display()))?;
    let parents: Vec<&Path> = path.ancestors().skip(1).collect();
    for parent in parents.into_iter().rev() {
        pass_down(&root.join(parent))?;
    }
    enter(&group)
}

/// Moves this process to the leaf, so that the group can have children with controllers. To be
/// called after the control group namespace was made: its root is the group that one is in.
pub(super) fn settle(root: &Path, path: &Path) -> Result<()> {
    let group = root.join(path);
    let leaf = group.join(LEAF);
    fs::create_dir_all(&leaf).with_context(|| format!("create {}", leaf.display()))?;
    enter(&leaf)?;
    pass_down(&group)
}

fn enter(group: &Path) -> Result<()> {
    let processes = group.join("cgroup.procs");
    fs::write(&processes, "0").with_context(|| format!("write {}", processes.display()))
}

fn pass_down(group: &Path) -> Result<()> {
    let read = |name: &str| {
        let file = group.join(name);
        fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
    };
    let (there, passed) = (read("cgroup.controllers")?, read("cgroup.subtree_control")?);
    let file = group.join("cgroup.subtree_control");
    for controller in missing(&there, &passed) {
        fs::write(&file, format!("+{controller}"))
            .with_context(|| format!("write +{controller} to {}", file.display()))?;
    }
    Ok(())
}

fn missing(there: &str, passed: &str) -> Vec<&'static str> {
    let has = |list: &str, wanted: &str| list.split_ascii_whitespace().any(|name| name == wanted);
    WANTED
        .into_iter()
        .filter(|name| has(there, name) && !has(passed, name))
        .collect()
}

pub(super) fn mount_one() -> Result<()> {
    mount(
        Some("cgroup2"),
        ROOT,
        Some("cgroup2"),
        MsFlags::empty(),
        None::<&str>,
    )
    .context("mount control groups")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_controllers_that_are_there_and_not_passed_down_are_missing() {
        assert_eq!(
            missing("cpuset cpu io memory", "memory pids"),
            ["cpu", "cpuset", "io"]
        );
        assert!(missing("cpu", "cpu").is_empty());
    }
}
