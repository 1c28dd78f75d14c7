//! What the plugin does itself when no agent answers: the pinned programs on the host end, for `allow` an entry
//! in the map of pods, and a note that tells the next agent whose link this is.

use std::io::{Error, ErrorKind};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use fairlead_cni_netlink::{Batch, FilterHook, FilterPlace, LinkIndex, LinkName, Netlink};
use fairlead_cni_node::owned::{
    ATTACHMENTS, BPF_ENDPOINTS, BPF_FROM_POD, BPF_LAYOUT, BPF_TO_POD, FILTER_HANDLE,
    FILTER_NAME_PREFIX, FILTER_PRIORITY,
};
use fairlead_cni_node::policy::{Attach, OnAgentAway, PluginKey};

use super::bpf;
use crate::error::{PluginError, Result};

/// Starts a pod without an agent.
pub(super) fn start(key: &PluginKey, attach: &Attach, host: &mut Netlink) -> Result<()> {
    let home = key.bpf_dir.join(BPF_LAYOUT);
    let pinned = |name| {
        let path = home.join(name);
        bpf::open(&path).map_err(|source| PluginError::NotPinned { path, source })
    };
    let programs = [
        (FilterHook::Ingress, BPF_FROM_POD, pinned(BPF_FROM_POD)?),
        (FilterHook::Egress, BPF_TO_POD, pinned(BPF_TO_POD)?),
    ];
    write_note(key, attach)?;
    if key.on_agent_away == OnAgentAway::Allow {
        let map = pinned(BPF_ENDPOINTS)?;
        bpf::enter(&map, attach.if_index, attach.bridge.is_some())
            .map_err(|source| PluginError::PolicyEntry { source })?;
    }
    let link = LinkIndex(attach.if_index);
    match host.add_clsact(link) {
        Err(error) if !error.is_exists() => return Err(error.into()),
        _ => {}
    }
    let mut batch = Batch::new();
    for (hook, name, program) in &programs {
        let name = format!("{FILTER_NAME_PREFIX}{name}");
        batch.replace_filter(place(link, *hook), &name, program.as_fd());
    }
    Ok(host.send(&batch)?)
}

/// Fails unless both programs are on the host end.
pub(super) fn check(host: &mut Netlink, link: &LinkName) -> Result<()> {
    let index = host.index_of(link)?;
    for hook in FilterHook::ALL {
        let filters = host.filters(index, hook)?;
        let ours = |place| place == self::place(index, hook);
        if !filters.iter().any(|filter| ours(filter.place)) {
            return Err(PluginError::Missing {
                object: format!("the policy program at {hook} of interface {link}"),
                place: "on the host".to_owned(),
            });
        }
    }
    Ok(())
}

fn place(link: LinkIndex, hook: FilterHook) -> FilterPlace {
    FilterPlace {
        link,
        hook,
        priority: FILTER_PRIORITY,
        handle: FILTER_HANDLE,
    }
}

/// Where the note about a link is: in a folder beside the socket.
fn note(key: &PluginKey, link: &str) -> PathBuf {
    let beside = key.socket.parent().unwrap_or(Path::new("/"));
    beside.join(ATTACHMENTS).join(format!("{link}.json"))
}

/// Before the programs are on the link: an agent that finds them there finds the note too.
pub(super) fn write_note(key: &PluginKey, attach: &Attach) -> Result<()> {
    let path = note(key, &attach.host_link);
    let fresh = path.with_extension("new");
    let put = || -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&fresh, serde_json::to_vec(attach)?)?;
        std::fs::rename(&fresh, &path)
    };
    put().map_err(|source| PluginError::Note {
        doing: "write",
        path: path.clone(),
        source,
    })
}

/// Removes the note about a link; a missing one is success.
pub(super) fn remove_note(key: &PluginKey, link: &LinkName) -> Result<()> {
    let path = note(key, link.as_str());
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(PluginError::Note {
            doing: "remove",
            path,
            source,
        }),
        _ => Ok(()),
    }
}
