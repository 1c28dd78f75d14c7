//! What of a node is ours and in which order it goes. Pure.
//!
//! First the configuration, so that no pod starts any more; then what carries traffic, from the pods
//! outwards; then the files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use fairlead_cni_netlink::nft::{TableFamily, TableName};
use fairlead_cni_netlink::{FilterPlace, LinkIndex, LinkName, NextHop, Route};
use fairlead_cni_node::owned::{
    AGENT_LOCK, AGENT_TABLE, ATTACHMENTS, CLUSTER_ROLES, CONFLIST_NAME, FILTER_HANDLE,
    FILTER_NAME_PREFIX, FORWARD_ACCEPT_COMMENT, GUARD_TABLE, LOOPBACK, NEXTHOP_IDS, NODE_FILE_NAME,
    PLUGIN_ROLES, PLUGIN_TABLE, POLICY_KEY, POLICY_SOCKET_NAME, POLICY_TABLE, ROUTE_PROTOCOL,
    VXLAN_ALIAS, is_host_link,
};
use serde_json::Value;

use super::Folders;
use super::dump::{Entry, EntryKind, Found, HostLink};

/// One thing that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A file or symbolic link.
    File(PathBuf),
    /// A folder that is empty by then.
    Folder(PathBuf),
    /// A folder with all that is in it.
    Tree(PathBuf),
    /// A link, with everything on it: addresses, routes, neighbours, forwarding entries.
    Link {
        /// Its name.
        name: LinkName,
        /// Its alias: whose it is.
        alias: String,
    },
    /// A route.
    Route(Route),
    /// A nexthop object.
    NextHop(NextHop),
    /// A BPF filter.
    Filter {
        /// Where it is.
        place: FilterPlace,
        /// Its name.
        name: String,
        /// Its link's name.
        link: LinkName,
    },
    /// The rule of ours in a chain of somebody else.
    Rule {
        /// The table.
        table: TableName,
        /// The chain.
        chain: String,
        /// The rule's number.
        handle: u64,
    },
    /// An nftables table with all that is in it.
    Table(TableName),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Folder(path) | Self::Tree(path) => path.display().fmt(f),
            Self::Link { name, alias } => write!(f, "link {name} ({alias})"),
            Self::Route(route) => route.fmt(f),
            Self::NextHop(next_hop) => next_hop.fmt(f),
            Self::Filter { place, name, link } => {
                write!(f, "filter {name} at {} of link {link}", place.hook)
            }
            Self::Rule { table, chain, .. } => {
                write!(f, "accept rule in nft chain {table} {chain}")
            }
            Self::Table(table) => write!(f, "nft table {table}"),
        }
    }
}

/// Something that one might take for ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Left {
    /// A link with the name of a pod's host end and another alias.
    Link(LinkName),
    /// A symbolic link that somebody made to a plugin that goes.
    Symlink(PathBuf, PathBuf),
    /// A folder of ours with files of others.
    Folder(PathBuf),
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(name) => write!(
                f,
                "link {name}: it is named like the link of a pod, but its alias does not say which"
            ),
            Self::Symlink(path, target) => write!(
                f,
                "{}: it leads to {}, but the agent did not make it",
                path.display(),
                target.display()
            ),
            Self::Folder(path) => write!(f, "{}: it holds files of others", path.display()),
        }
    }
}

/// What goes, in order, and what stays though it looks like ours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What goes.
    pub steps: Vec<Step>,
    /// What stays.
    pub left: Vec<Left>,
}

/// Says what of `found` is ours.
#[must_use]
pub fn plan(found: &Found, folders: &Folders) -> Plan {
    let mut plan = Plan::default();
    let inside = |folder: &Path| {
        let folder = folder.to_owned();
        let files = found.files.iter();
        files.filter(move |entry| entry.path.parent() == Some(&folder))
    };
    let files = |plan: &mut Plan, folder: &Path, ours: fn(&Entry) -> bool| {
        let ours = inside(folder).filter(|entry| ours(entry));
        plan.steps
            .extend(ours.map(|entry| Step::File(entry.path.clone())));
    };
    let trees = |plan: &mut Plan, folder: &Path, ours: fn(&Entry) -> bool| {
        let ours = inside(folder).filter(|entry| ours(entry));
        plan.steps
            .extend(ours.map(|entry| Step::Tree(entry.path.clone())));
    };
    // A folder of ours goes unless others keep something there.
    let empty = |plan: &mut Plan, folder: &Path, ours: fn(&Entry) -> bool| {
        let mut entries = inside(folder).peekable();
        if entries.peek().is_some() {
            if entries.all(ours) {
                plan.steps.push(Step::Folder(folder.to_owned()));
            } else {
                plan.left.push(Left::Folder(folder.to_owned()));
            }
        }
    };
    files(&mut plan, &folders.conf, is_conflist);
    kernel(&mut plan, found);
    files(&mut plan, &folders.data, is_leases);
    files(&mut plan, &folders.bin, is_plugin);
    let strays = inside(&folders.bin).filter_map(|entry| match &entry.kind {
        EntryKind::Link(target) if leads_to_role(target) && !is_plugin(entry) => {
            Some(Left::Symlink(entry.path.clone(), target.clone()))
        }
        _ => None,
    });
    plan.left.extend(strays);
    trees(&mut plan, &folders.bpf, is_layout);
    empty(&mut plan, &folders.bpf, is_layout);
    files(&mut plan, &folders.run, is_runtime);
    trees(&mut plan, &folders.run, is_attachments);
    empty(&mut plan, &folders.run, |entry| {
        is_runtime(entry) || is_attachments(entry)
    });
    plan
}

fn kernel(plan: &mut Plan, found: &Found) {
    let pods: Vec<&HostLink> = found.links.iter().filter(|link| is_pod(link)).collect();
    let mut going: BTreeSet<LinkIndex> = pods.iter().map(|link| link.index).collect();
    let strays = found.links.iter().filter(|link| is_stray(link));
    plan.left
        .extend(strays.map(|link| Left::Link(link.name.clone())));
    plan.steps.extend(pods.into_iter().map(link));
    let stands_alone = |route: &&Route| {
        route.protocol == ROUTE_PROTOCOL && !route.link().is_some_and(|at| going.contains(&at))
    };
    let routes = found.routes.iter().filter(stands_alone);
    plan.steps.extend(routes.cloned().map(Step::Route));
    let ours = |hop: &&NextHop| hop.protocol == ROUTE_PROTOCOL && NEXTHOP_IDS.contains(&hop.id);
    let next_hops = found.next_hops.iter().filter(ours);
    plan.steps.extend(next_hops.cloned().map(Step::NextHop));
    let overlay: Vec<&HostLink> = found.links.iter().filter(|link| is_overlay(link)).collect();
    going.extend(overlay.iter().map(|link| link.index));
    plan.steps.extend(overlay.into_iter().map(link));
    plan.steps.extend(filters(found, &going));
    let accepts = found.rules.iter().filter_map(|rule| {
        let ours = rule.comment.as_deref() == Some(FORWARD_ACCEPT_COMMENT);
        Some(Step::Rule {
            table: rule.table.clone(),
            chain: rule.chain.clone(),
            handle: rule.handle.filter(|_| ours && !is_table(&rule.table))?,
        })
    });
    plan.steps.extend(accepts);
    let tables = found.tables.iter().filter(|table| is_table(table));
    plan.steps.extend(tables.cloned().map(Step::Table));
}

/// Our filters on links that stay.
fn filters(found: &Found, going: &BTreeSet<LinkIndex>) -> impl Iterator<Item = Step> {
    let ours = found.filters.iter().filter(|filter| {
        filter.place.handle == FILTER_HANDLE
            && filter.name.starts_with(FILTER_NAME_PREFIX)
            && !going.contains(&filter.place.link)
    });
    ours.filter_map(|filter| {
        let link = found
            .links
            .iter()
            .find(|link| link.index == filter.place.link)?;
        Some(Step::Filter {
            place: filter.place,
            name: filter.name.clone(),
            link: link.name.clone(),
        })
    })
}

fn link(link: &HostLink) -> Step {
    Step::Link {
        name: link.name.clone(),
        alias: link.alias.clone().unwrap_or_default(),
    }
}

/// Whether this is the host end of a pod's link: the plugin's name, kind and label.
fn is_pod(link: &HostLink) -> bool {
    let labelled = link.alias.as_deref().is_some_and(is_label);
    link.veth && labelled && is_host_link(link.name.as_str())
}

/// Whether this is a device of the agent.
fn is_overlay(link: &HostLink) -> bool {
    link.vxlan && link.alias.as_deref() == Some(VXLAN_ALIAS)
}

/// Whether this is named like a pod's link and yet is none of ours.
fn is_stray(link: &HostLink) -> bool {
    is_host_link(link.name.as_str()) && !is_pod(link) && !is_overlay(link)
}

/// Whether this is how the plugin labels a pod's host end: network, container and interface, or the
/// network and a hash where these are too long.
fn is_label(alias: &str) -> bool {
    let parts: Vec<&str> = alias.split('/').collect();
    matches!(parts.len(), 2 | 3) && parts.iter().all(|part| !part.is_empty())
}

fn is_table(table: &TableName) -> bool {
    matches!(
        (table.family, table.name.as_str()),
        (TableFamily::Inet, AGENT_TABLE | POLICY_TABLE)
            | (TableFamily::Inet | TableFamily::Netdev, PLUGIN_TABLE)
            | (TableFamily::Netdev, GUARD_TABLE)
    )
}

fn name(entry: &Entry) -> &str {
    let name = entry.path.file_name().and_then(OsStr::to_str);
    name.unwrap_or_default()
}

/// Whether `name` is one of `names`, or what is renamed to one of them once it is written.
fn is_one_of<'a>(name: &str, mut names: impl Iterator<Item = &'a str>) -> bool {
    let fresh = name.strip_prefix('.').and_then(|n| n.strip_suffix(".new"));
    names.any(|ours| name == ours || fresh == Some(ours))
}

/// Whether the agent wrote this configuration, whatever it is called: its first plugin is a cluster role.
fn is_conflist(entry: &Entry) -> bool {
    let EntryKind::File(content) = &entry.kind else {
        return false;
    };
    if is_one_of(name(entry), [CONFLIST_NAME].into_iter()) {
        return true;
    }
    let list: Value = serde_json::from_slice(content).unwrap_or_default();
    let first = list.pointer("/plugins/0/type").and_then(Value::as_str);
    first.is_some_and(|role| CLUSTER_ROLES.contains(&role))
}

fn is_leases(entry: &Entry) -> bool {
    let named = entry.path.extension() == Some(OsStr::new("leases"));
    named && matches!(&entry.kind, EntryKind::File(head) if fairlead_ipam::is_lease_file(head))
}

fn is_plugin(entry: &Entry) -> bool {
    let names = PLUGIN_ROLES.into_iter().chain(["fairlead-cni"]);
    match &entry.kind {
        EntryKind::File(_) => is_one_of(name(entry), names),
        EntryKind::Link(target) => name(entry) == LOOPBACK && leads_to_role(target),
        EntryKind::Folder | EntryKind::Other => false,
    }
}

/// Whether a link in the folder of plugins leads to one of ours there.
fn leads_to_role(target: &Path) -> bool {
    PLUGIN_ROLES.iter().any(|role| Path::new(role) == target)
}

fn is_runtime(entry: &Entry) -> bool {
    match entry.kind {
        EntryKind::File(_) => is_one_of(
            name(entry),
            [NODE_FILE_NAME, AGENT_LOCK, POLICY_KEY].into_iter(),
        ),
        EntryKind::Other => name(entry) == POLICY_SOCKET_NAME,
        EntryKind::Folder | EntryKind::Link(_) => false,
    }
}

/// Whether this is the folder of what the plugin told the agent of pods.
fn is_attachments(entry: &Entry) -> bool {
    entry.kind == EntryKind::Folder && name(entry) == ATTACHMENTS
}

/// Whether this holds programs and maps, in the layout of this release or another.
fn is_layout(entry: &Entry) -> bool {
    let number = name(entry).strip_prefix('v');
    let layout = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    layout && entry.kind == EntryKind::Folder
}

#[cfg(test)]
mod tests;
