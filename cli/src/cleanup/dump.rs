//! Reads what is on the node: the kernel's network state of this namespace and five folders.

use std::fs::{self, DirEntry, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use fairlead_cni_netlink::nft::{Nft, Rule, TableName};
use fairlead_cni_netlink::{
    Family, Filter, FilterHook, Link, LinkIndex, LinkKind, LinkName, Netlink, NetlinkError,
    NextHop, Route, RouteFilter,
};
use fairlead_cni_node::owned::ROUTE_PROTOCOL;

use super::Folders;
use super::apply::Kernel;
use crate::CliError;

/// Bytes of a file that are looked at: more than any CNI configuration has.
const HEAD: u64 = 256 * 1024;

/// What there is, of whomever.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// All links.
    pub links: Vec<HostLink>,
    /// Routes with our protocol number.
    pub routes: Vec<Route>,
    /// All BPF filters at `clsact`.
    pub filters: Vec<Filter>,
    /// All nexthop objects.
    pub next_hops: Vec<NextHop>,
    /// All nftables tables.
    pub tables: Vec<TableName>,
    /// All nftables rules that bear a comment.
    pub rules: Vec<Rule>,
    /// What is in the five folders, in the order of their names.
    pub files: Vec<Entry>,
}

/// A link, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLink {
    /// Its number.
    pub index: LinkIndex,
    /// Its name.
    pub name: LinkName,
    /// Whether it is one end of a veth pair.
    pub veth: bool,
    /// Whether it is a VXLAN device.
    pub vxlan: bool,
    /// The text of whoever made it.
    pub alias: Option<String>,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
}

/// What an entry of a folder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A file with how it begins.
    File(Vec<u8>),
    /// A symbolic link with its target.
    Link(PathBuf),
    /// A folder.
    Folder,
    /// A socket or anything else.
    Other,
}

/// Reads everything that can be read; what cannot is told.
pub fn dump(kernel: &mut Kernel, folders: &Folders) -> (Found, Vec<CliError>) {
    let mut errors = Vec::new();
    let mut found = Found {
        links: none_unless(links(&mut kernel.netlink), &mut errors),
        next_hops: none_unless(kernel.netlink.next_hops(), &mut errors),
        ..Found::default()
    };
    for link in found.links.iter().map(|link| link.index) {
        for hook in FilterHook::ALL {
            let filters = kernel.netlink.filters(link, hook);
            found.filters.extend(none_unless(filters, &mut errors));
        }
    }
    for family in Family::ALL {
        let filter = RouteFilter {
            protocol: Some(ROUTE_PROTOCOL),
            ..RouteFilter::all(family)
        };
        found.routes.extend(none_unless(
            kernel.netlink.routes_where(filter),
            &mut errors,
        ));
    }
    if let Some(nft) = &mut kernel.nft {
        found.tables = none_unless(tables(nft), &mut errors);
        for table in &found.tables {
            let rules = none_unless(nft.rules(table, None), &mut errors);
            let commented = rules.into_iter().filter(|rule| rule.comment.is_some());
            found.rules.extend(commented);
        }
    }
    for folder in [
        &folders.conf,
        &folders.bin,
        &folders.data,
        &folders.run,
        &folders.bpf,
    ] {
        match entries(folder) {
            Ok(entries) => found.files.extend(entries),
            Err(error) => errors.push(error),
        }
    }
    (found, errors)
}

/// A kernel without IPv6, or without nexthop objects, has none of them.
fn none_unless<T>(read: Result<Vec<T>, NetlinkError>, errors: &mut Vec<CliError>) -> Vec<T> {
    match read {
        Ok(list) => list,
        Err(error) if error.is_unsupported() => Vec::new(),
        Err(error) => {
            errors.push(error.into());
            Vec::new()
        }
    }
}

fn links(netlink: &mut Netlink) -> Result<Vec<HostLink>, NetlinkError> {
    let slim = |link: Link| HostLink {
        index: link.index,
        name: link.name,
        veth: link.kind == LinkKind::Veth,
        vxlan: matches!(link.kind, LinkKind::Vxlan(_)),
        alias: link.alias,
    };
    Ok(netlink.links()?.into_iter().map(slim).collect())
}

fn tables(nft: &mut Nft) -> Result<Vec<TableName>, NetlinkError> {
    Ok(nft.tables()?.into_iter().map(|table| table.name).collect())
}

/// The entries of a folder by name; none of one that is not there.
fn entries(folder: &Path) -> Result<Vec<Entry>, CliError> {
    let failed = |source| CliError::file("read", folder, source);
    let list = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.map_err(failed)?,
    };
    let mut entries = Vec::new();
    for item in list {
        let item = item.map_err(failed)?;
        let path = item.path();
        match kind(&item) {
            Ok(kind) => entries.push(Entry { path, kind }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(CliError::file("read", &path, source)),
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

fn kind(item: &DirEntry) -> io::Result<EntryKind> {
    let kind = item.file_type()?;
    Ok(if kind.is_symlink() {
        EntryKind::Link(fs::read_link(item.path())?)
    } else if kind.is_file() {
        let mut head = Vec::new();
        File::open(item.path())?.take(HEAD).read_to_end(&mut head)?;
        EntryKind::File(head)
    } else if kind.is_dir() {
        EntryKind::Folder
    } else {
        EntryKind::Other
    })
}
