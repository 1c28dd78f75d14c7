//! The nftables rules of one attachment: those that its configuration asks for.

use fairlead_cni_netlink::LinkName;
use fairlead_cni_netlink::nft::Nft;
use fairlead_cni_spec::Fields;

use super::{masquerade, spoof};
use crate::error::{PluginError, Result};

/// Which rules there are, and the socket that they are removed through.
///
/// Closing that socket waits until what was removed through it is freed, some 10 ms. So it lives as long as
/// this does: DEL drops it after the child that deletes the links has its copy, and the drop waits for nothing.
#[derive(Debug)]
pub(super) struct Rules {
    masquerade: bool,
    spoof: bool,
    nft: Option<Nft>,
}

impl Rules {
    pub(super) fn of(fields: &Fields<'_>) -> Result<Self> {
        let (masquerade, spoof) = (fields.flag("ipMasq")?, fields.flag("macspoofchk")?);
        Ok(Self {
            masquerade,
            spoof,
            nft: None,
        })
    }

    /// Removes them; what is missing is success.
    pub(super) fn remove(&mut self, label: &str, host: &LinkName) -> Result<()> {
        if !self.masquerade && !self.spoof {
            return Ok(());
        }
        let nft = self.nft.insert(Nft::open()?);
        let mut results = Vec::new();
        if self.masquerade {
            results.push(masquerade::remove(nft, |found| found == label));
        }
        if self.spoof {
            results.push(spoof::remove(nft, host));
        }
        PluginError::all(results)
    }
}
