//! Removes one thing after the other: the only part of this module that changes anything.

use std::fs;
use std::io;

use fairlead_cni_netlink::nft::{Batch, Nft};
use fairlead_cni_netlink::{LinkRef, Netlink, NetlinkError};

use super::plan::Step;
use crate::CliError;

/// The sockets to the kernel.
#[derive(Debug)]
pub struct Kernel {
    pub(super) netlink: Netlink,
    /// None where the kernel has no nftables.
    pub(super) nft: Option<Nft>,
}

impl Kernel {
    /// Opens them in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// [`CliError::Netlink`] when there is no netlink.
    pub fn open() -> Result<Self, CliError> {
        let nft = match Nft::open() {
            Err(error) if error.is_unsupported() => None,
            opened => Some(opened?),
        };
        Ok(Self {
            netlink: Netlink::open()?,
            nft,
        })
    }

    /// Removes one thing; one that is gone already is success.
    ///
    /// # Errors
    ///
    /// [`CliError`] when it is still there.
    pub fn remove(&mut self, step: &Step) -> Result<(), CliError> {
        let failed = |path, source| CliError::file("remove", path, source);
        match step {
            Step::File(path) => match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
                _ => Ok(()),
            },
            Step::Folder(path) => match fs::remove_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
                _ => Ok(()),
            },
            Step::Tree(path) => match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(path, error)),
                _ => Ok(()),
            },
            Step::Link { name, .. } => gone(self.netlink.delete_link(LinkRef::from(name))),
            Step::Route(route) => gone(self.netlink.delete_route(route)),
            Step::NextHop(next_hop) => gone(self.netlink.delete_next_hop(next_hop.id)),
            Step::Filter { place, .. } => gone(self.netlink.delete_filter(*place)),
            Step::Rule {
                table,
                chain,
                handle,
            } => self.commit(|batch| batch.delete_rule(table, chain, *handle)),
            Step::Table(table) => self.commit(|batch| batch.delete_table(table)),
        }
    }

    fn commit(&mut self, fill: impl FnOnce(&mut Batch)) -> Result<(), CliError> {
        let Some(nft) = &mut self.nft else {
            return Ok(());
        };
        let mut batch = Batch::new();
        fill(&mut batch);
        gone(nft.commit(&batch))
    }
}

fn gone(result: Result<(), NetlinkError>) -> Result<(), CliError> {
    match result {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}
