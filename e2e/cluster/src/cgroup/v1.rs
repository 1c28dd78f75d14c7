//! Control groups version 1: a hierarchy for each set of controllers.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

const ROOT: &str = "/sys/fs/cgroup";

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    mount_point: PathBuf,
    /// Mount options that select it: controllers, or `name=…`.
    selectors: Vec<String>,
}

impl Hierarchy {
    /// Reads one line of `mountinfo`; `None` when it is something else.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        if right.next() != Some("cgroup") {
            return None;
        }
        let options = right.nth(1)?;
        let is_selector = |option: &&str| {
            !matches!(
                *option,
                "rw" | "ro" | "xattr" | "noprefix" | "clone_children"
            ) && !option.starts_with("release_agent=")
                && !option.starts_with("cpuset_v2_mode")
        };
        Some(Self {
            mount_point: left.split(' ').nth(4)?.into(),
            selectors: options
                .split(',')
                .filter(is_selector)
                .map(str::to_owned)
                .collect(),
        })
    }

    pub(super) fn mount_point(&self) -> &Path {
        &self.mount_point
    }

    fn mount_options(&self) -> String {
        let selectors = self.selectors.join(",");
        if selectors.starts_with("name=") {
            format!("none,{selectors}")
        } else {
            selectors
        }
    }

    fn has(&self, controller: &str) -> bool {
        self.selectors.iter().any(|selector| selector == controller)
    }
}

pub(super) fn join(hierarchies: &[Hierarchy], path: &Path) -> Result<()> {
    for hierarchy in hierarchies {
        let group = hierarchy.mount_point.join(path);
        fs::create_dir_all(&group).with_context(|| format!("create {}", group.display()))?;
        if hierarchy.has("cpuset") {
            inherit_cpuset(&hierarchy.mount_point, path)?;
        }
        let processes = group.join("cgroup.procs");
        fs::write(&processes, "0").with_context(|| format!("write {}", processes.display()))?;
    }
    Ok(())
}

/// A new cpuset has neither CPUs nor memory, and takes no process until it has.
fn inherit_cpuset(root: &Path, path: &Path) -> Result<()> {
    for knob in ["cpuset.cpus", "cpuset.mems"] {
        let value = fs::read(root.join(knob)).with_context(|| format!("read {knob}"))?;
        let mut group = root.to_owned();
        for part in path {
            group.push(part);
            let file = group.join(knob);
            fs::write(&file, &value).with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}

pub(super) fn mount_all(hierarchies: &[Hierarchy]) -> Result<()> {
    mount(
        Some("cgroup"),
        ROOT,
        Some("tmpfs"),
        MsFlags::empty(),
        Some("mode=755"),
    )
    .context("mount the folder of control groups")?;
    for hierarchy in hierarchies {
        let name = hierarchy
            .mount_point
            .file_name()
            .context("a hierarchy mounted on /")?;
        let target = Path::new(ROOT).join(name);
        fs::create_dir(&target)?;
        let options = hierarchy.mount_options();
        mount(
            Some("cgroup"),
            &target,
            Some("cgroup"),
            MsFlags::empty(),
            Some(options.as_str()),
        )
        .with_context(|| format!("mount control groups {options}"))?;
        // Where controllers share a hierarchy, each is also found by its own name.
        for selector in &hierarchy.selectors {
            let alias = Path::new(ROOT).join(selector);
            if hierarchy.selectors.len() > 1 && !alias.exists() {
                symlink(name, &alias)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &str) -> Hierarchy {
        let line =
            format!("27 25 0:24 / /sys/fs/cgroup/x rw,nosuid shared:9 - cgroup cgroup {options}");
        Hierarchy::parse(&line).unwrap()
    }

    #[test]
    fn a_named_hierarchy_is_mounted_without_controllers() {
        let hierarchy = parse("rw,xattr,release_agent=/lib/agent,name=systemd");
        assert_eq!(hierarchy.mount_options(), "none,name=systemd");
    }

    #[test]
    fn controllers_that_share_a_hierarchy_are_mounted_together() {
        assert_eq!(parse("rw,cpu,cpuacct").mount_options(), "cpu,cpuacct");
    }

    #[test]
    fn other_file_systems_are_not_hierarchies() {
        assert_eq!(
            Hierarchy::parse("30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"),
            None
        );
    }
}
