//! Pods of a cluster whose nodes share a subnet: routed, and the agent routes between nodes without a tunnel.

use std::path::Path;

use fairlead_cni_spec::{AddResult, Attachment};

use crate::call::Call;
use crate::error::Result;
use crate::role::Operations;
use crate::routed;

/// The role.
#[derive(Debug)]
pub(crate) struct Direct;

impl Operations for Direct {
    fn add(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<AddResult> {
        routed::add(call, at, netns)
    }

    fn del(&self, call: &Call, at: &Attachment, netns: Option<&Path>) -> Result<()> {
        routed::del(call, at, netns)
    }

    fn check(&self, call: &Call, at: &Attachment, netns: &Path) -> Result<()> {
        routed::check(call, at, netns)
    }

    fn status(&self, call: &Call) -> Result<()> {
        routed::status(call)
    }

    fn gc(&self, call: &Call) -> Result<()> {
        routed::gc(call)
    }
}
