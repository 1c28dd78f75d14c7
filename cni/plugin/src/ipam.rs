//! Addresses for an attachment, from the lease file or from a foreign IPAM plugin.

mod foreign;
mod own;

use std::path::Path;

use fairlead_cni_spec::{AddResult, Attachment};

use crate::call::Call;
use crate::error::Result;
pub(crate) use foreign::Foreign;
pub(crate) use own::{Leases, Own};

/// `ipam.type`s that this process serves itself, without starting another program.
const OWN: [&str; 2] = ["host-local", "fairlead-ipam"];

/// Where addresses come from.
#[derive(Debug)]
pub(crate) enum Source<'a> {
    /// The lease file.
    Own(Leases),
    /// Another program.
    Foreign(Foreign<'a>),
}

impl<'a> Source<'a> {
    /// The source that the configuration names; `None` for a network without addresses.
    pub(crate) fn of(call: &'a Call) -> Result<Option<Self>> {
        Ok(match &call.conf.ipam {
            None => None,
            Some(kind) if OWN.contains(&kind.as_str()) => Some(Self::Own(Leases::of(call)?)),
            Some(kind) => Some(Self::Foreign(Foreign::new(call, kind))),
        })
    }

    /// Takes addresses; the result has no interfaces (spec section 5, "Delegated plugins").
    pub(crate) fn add(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<AddResult> {
        match self {
            Self::Own(_) => Own::parse(call, at)?.add(at, netns),
            Self::Foreign(foreign) => foreign.add(),
        }
    }

    /// Gives back what the attachment holds.
    pub(crate) fn del(&self, at: &Attachment) -> Result<()> {
        match self {
            Self::Own(leases) => leases.release(at),
            Self::Foreign(foreign) => foreign.run("DEL"),
        }
    }

    /// Fails unless the attachment holds the addresses of its result.
    pub(crate) fn check(&self, at: &Attachment, result: &AddResult) -> Result<()> {
        match self {
            Self::Own(leases) => leases.check(at, result),
            Self::Foreign(foreign) => foreign.run("CHECK"),
        }
    }

    /// Fails when no address could be taken.
    pub(crate) fn status(&self, call: &Call) -> Result<()> {
        match self {
            Self::Own(_) => Own::parse_config(call, "")?.status(),
            Self::Foreign(foreign) => foreign.run("STATUS"),
        }
    }

    /// Gives back all addresses of attachments that are not valid.
    pub(crate) fn gc(&self, call: &Call) -> Result<()> {
        match self {
            Self::Own(leases) => leases.collect(call.conf.valid_attachments()?.as_deref()),
            Self::Foreign(foreign) => foreign.run("GC"),
        }
    }
}
