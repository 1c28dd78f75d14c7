//! The nftables rules of one attachment: one transaction makes all that its configuration asks for.

use fairlead_cni_netlink::LinkName;
use fairlead_cni_netlink::nft::{Batch, Nft};

use super::conf::Conf;
use super::masquerade;
use super::plan::Plan;
use super::port::Port;
use crate::error::{PluginError, Result};
use crate::ingress::{self, Judged};

/// Which rules there are to be.
#[derive(Debug)]
pub(super) struct Rules {
    link: LinkName,
    label: String,
    judged: Judged,
    masqueraded: bool,
}

impl Rules {
    pub(super) fn of(conf: &Conf, port: &Port, guarded: bool) -> Self {
        Self {
            link: port.host.clone(),
            label: port.label.clone(),
            judged: Judged {
                mac: conf.mac_spoof_check.then_some(port.pod_mac),
                guarded,
            },
            masqueraded: conf.ip_masq,
        }
    }

    /// Makes them, for a link that is there and not up yet.
    pub(super) fn add(&self, plan: &Plan) -> Result<()> {
        if !self.masqueraded {
            return self.judged.set(&self.link);
        }
        let mut nft = Nft::open()?;
        let mut batch = Batch::new();
        masquerade::put_elements(&mut batch, &plan.ips, &self.label);
        self.judged.put(&mut batch, &self.link);
        match nft.commit(&batch) {
            // The first pod of a network makes its chain, the first of all the table.
            Err(error) if error.is_not_found() => {}
            // A leftover of another pod holds the address.
            Err(error) if error.is_exists() => masquerade::free(&mut nft, &plan.ips)?,
            committed => return Ok(committed?),
        }
        let mut batch = Batch::new();
        masquerade::put_all(&mut batch, &plan.ips, &self.label);
        self.judged.put_base(&mut batch);
        self.judged.put(&mut batch, &self.link);
        Ok(nft.commit(&batch)?)
    }

    /// Removes them after a failure; what is missing is success.
    pub(super) fn undo(&self) -> Result<()> {
        remove(&mut Nft::open()?, &self.label, &self.link, self.masqueraded)
    }
}

/// Removes the rules of an attachment; what is missing is success.
pub(super) fn remove(nft: &mut Nft, label: &str, link: &LinkName, masqueraded: bool) -> Result<()> {
    let chains = ingress::remove(nft, link);
    let elements = masqueraded.then(|| masquerade::remove(nft, |found| found == label));
    PluginError::all([chains, elements.unwrap_or(Ok(()))])
}
