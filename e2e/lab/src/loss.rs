//! Packets that get lost on their way through a router.

use anyhow::{Context as _, Result, ensure};
use fairlead_cni_netlink::nft::{Batch, TableFamily, TableName};

use crate::count::counted;
use crate::namespace::Namespace;

const TABLE: &str = "lab-loss";

/// A router that drops some of what it forwards, until this is dropped.
#[derive(Debug)]
pub struct Loss<'a> {
    router: &'a Namespace,
}

impl<'a> Loss<'a> {
    /// Drops `percent` of the packets that `router` forwards, each by its own chance; only one at a time.
    pub fn new(router: &'a Namespace, percent: u8) -> Result<Self> {
        ensure!(percent <= 100, "{percent} percent of loss");
        let script = format!(
            "create table inet {TABLE}; \
             add chain inet {TABLE} forward {{ type filter hook forward priority 0; }}; \
             add rule inet {TABLE} forward numgen random mod 100 < {percent} counter drop"
        );
        router
            .output("nft", &[&script])
            .context("make a router lose packets")?;
        Ok(Self { router })
    }

    /// How many it dropped.
    pub fn dropped(&self) -> Result<u64> {
        counted(self.router, TABLE)
    }
}

impl Drop for Loss<'_> {
    fn drop(&mut self) {
        let mut batch = Batch::new();
        batch.remove_table(&TableName::new(TableFamily::Inet, TABLE));
        let _ = self.router.nft().map(|mut nft| nft.commit(&batch));
    }
}
