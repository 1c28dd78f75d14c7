//! Addresses for any plugin that delegates (spec section 4): `host-local`'s configuration and results.

use std::path::Path;

use fairlead_cni_spec::{AddResult, Attachment};

use crate::call::Call;
use crate::error::{PluginError, Result};
use crate::ipam::{Leases, Own};
use crate::role::Operations;

/// The role.
#[derive(Debug)]
pub(crate) struct Ipam;

impl Operations for Ipam {
    fn add(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<AddResult> {
        Own::parse(call, at)?.add(at, netns)
    }

    fn del(&self, call: &Call, at: &Attachment, _netns: Option<&Path>) -> Result<()> {
        Leases::of(call)?.release(at)
    }

    fn check(&self, call: &Call, at: &Attachment, _netns: &Path) -> Result<()> {
        let result = call.conf.prev_result()?.ok_or(PluginError::NoPrevResult)?;
        Leases::of(call)?.check(at, &result)
    }

    fn status(&self, call: &Call) -> Result<()> {
        Own::parse_config(call, "")?.status()
    }

    fn gc(&self, call: &Call) -> Result<()> {
        Leases::of(call)?.collect(call.conf.valid_attachments()?.as_deref())
    }
}
