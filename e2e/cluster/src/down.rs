//! Taking a cluster down: everything that it made and nothing else.

use std::fs;

use anyhow::{Context, Error, Result, anyhow};

use crate::cgroup::Groups;
use crate::member;
use crate::plan::{Cluster, Member};

/// Ends all members, removes their control groups and the cluster's folder. Carries on after a
/// failure; what is gone already is success.
pub(crate) fn down(cluster: &Cluster) -> Result<()> {
    let mut errors = Vec::new();
    // Nodes first: the API server should not outlive them only to see them fail.
    for member in cluster.members().into_iter().rev() {
        errors.extend(stop(cluster, member).err());
    }
    errors.extend(
        Groups::detect()
            .and_then(|groups| groups.remove(cluster))
            .err(),
    );
    // The folder holds the record of what still runs: it goes last, and only after the rest.
    if errors.is_empty() {
        errors.extend(remove_folder(cluster).err());
    }
    summary(&errors)
}

/// Ends one member, as a power failure would. Its folder stays.
pub(crate) fn stop(cluster: &Cluster, member: Member) -> Result<()> {
    let ended = match member::recorded(cluster, member)? {
        Some(process) => process.end(),
        None => Ok(()),
    };
    ended.with_context(|| format!("stop {member}"))
}

fn remove_folder(cluster: &Cluster) -> Result<()> {
    // The description goes last, so that an interrupted removal can be repeated.
    let home = &cluster.home;
    for entry in fs::read_dir(home).with_context(|| format!("list {}", home.display()))? {
        let entry = entry?;
        if entry.path() == cluster.file() {
            continue;
        }
        let removed = if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())
        } else {
            fs::remove_file(entry.path())
        };
        removed.with_context(|| format!("remove {}", entry.path().display()))?;
    }
    fs::remove_file(cluster.file())?;
    fs::remove_dir(home).with_context(|| format!("remove {}", home.display()))
}

fn summary(errors: &[Error]) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let list: Vec<_> = errors.iter().map(|error| format!("{error:#}")).collect();
    Err(anyhow!(
        "not all is gone, run `down` again:\n  {}",
        list.join("\n  ")
    ))
}
