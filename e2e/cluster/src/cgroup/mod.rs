//! Control groups of nodes: each node sees its own group as the root of every hierarchy.

mod v1;
mod v2;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::plan::{Cluster, Member};
use crate::poll;

/// The machine's control group layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Groups {
    /// One hierarchy for each set of controllers.
    V1(Vec<v1::Hierarchy>),
    /// The unified hierarchy, at this mount point.
    V2(PathBuf),
}

impl Groups {
    /// Reads the layout from this process's mount table.
    pub(crate) fn detect() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
        Self::parse(&mounts)
    }

    fn parse(mountinfo: &str) -> Result<Self> {
        // v1 hierarchies win: with them mounted, the unified one has no controllers.
        let hierarchies: Vec<_> = mountinfo.lines().filter_map(v1::Hierarchy::parse).collect();
        if !hierarchies.is_empty() {
            return Ok(Self::V1(hierarchies));
        }
        match mountinfo.lines().find_map(v2::parse) {
            Some(path) => Ok(Self::V2(path)),
            None => bail!("no control groups are mounted: mount cgroup2 on /sys/fs/cgroup"),
        }
    }

    /// Moves this process into the member's groups, made anew: what an earlier start of the member
    /// left would keep the kubelet busy for minutes, and after a boot there is none.
    pub(crate) fn join(&self, cluster: &Cluster, member: Member) -> Result<()> {
        let path = group(cluster, member);
        self.remove_all(&path)?;
        match self {
            Self::V1(hierarchies) => v1::join(hierarchies, &path),
            Self::V2(root) => v2::join(root, &path),
        }
    }

    /// What is left to do once the control group namespace is made.
    pub(crate) fn settle(&self, cluster: &Cluster, member: Member) -> Result<()> {
        match self {
            Self::V1(_) => Ok(()),
            Self::V2(root) => v2::settle(root, &group(cluster, member)),
        }
    }

    /// Mounts the member's groups below `/sys/fs/cgroup` of this mount namespace, as they look
    /// from this control group namespace.
    pub(crate) fn mount(&self) -> Result<()> {
        match self {
            Self::V1(hierarchies) => v1::mount_all(hierarchies),
            Self::V2(_) => v2::mount_one(),
        }
    }

    /// Removes all groups of a cluster whose processes have been killed.
    pub(crate) fn remove(&self, cluster: &Cluster) -> Result<()> {
        self.remove_all(Path::new(&top(cluster)))
    }

    fn remove_all(&self, path: &Path) -> Result<()> {
        let roots: Vec<&Path> = match self {
            Self::V1(hierarchies) => hierarchies.iter().map(v1::Hierarchy::mount_point).collect(),
            Self::V2(root) => vec![root],
        };
        for root in roots {
            let group = root.join(path);
            let what = format!("control group {} to empty", group.display());
            poll::until(&what, Duration::from_secs(30), || remove_tree(&group))?;
        }
        Ok(())
    }
}

fn group(cluster: &Cluster, member: Member) -> PathBuf {
    Path::new(&top(cluster)).join(member.to_string())
}

fn top(cluster: &Cluster) -> String {
    format!("fairlead-lab-{}", cluster.name)
}

/// Removes a group and those below it. `None` while one still holds a dying process.
fn remove_tree(group: &Path) -> Result<Option<()>> {
    let entries = match fs::read_dir(group) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(())),
        Err(error) => return Err(error).with_context(|| format!("list {}", group.display())),
    };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && remove_tree(&entry.path())?.is_none()
        {
            return Ok(None);
        }
    }
    match fs::remove_dir(group) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::ResourceBusy => Ok(None),
        Err(error) => Err(error).with_context(|| format!("remove {}", group.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
25 20 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n\
26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
27 25 0:24 / /sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd\n\
28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n";

    #[test]
    fn hierarchies_of_version_1_win_over_the_unified_one() {
        let Groups::V1(hierarchies) = Groups::parse(V1).unwrap() else {
            panic!("is v1")
        };
        let points: Vec<_> = hierarchies.iter().map(v1::Hierarchy::mount_point).collect();
        assert_eq!(
            points,
            [
                Path::new("/sys/fs/cgroup/systemd"),
                Path::new("/sys/fs/cgroup/cpu,cpuacct")
            ]
        );
    }

    #[test]
    fn the_unified_hierarchy_is_found_where_it_is_alone() {
        let mounts = "30 20 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            Groups::parse(mounts).unwrap(),
            Groups::V2("/sys/fs/cgroup".into())
        );
    }

    #[test]
    fn a_machine_without_control_groups_is_told_what_to_mount() {
        let error = Groups::parse("").unwrap_err();
        assert_eq!(
            error.to_string(),
            "no control groups are mounted: mount cgroup2 on /sys/fs/cgroup"
        );
    }
}
