//! Reads `RTM_NEWLINK` and `RTM_DELLINK`.

use super::{
    Bridge, BridgePort, HEADER, Link, LinkFlags, LinkKind, LinkStats, OperState, Vxlan, attr,
};
use crate::types::{LinkIndex, LinkName, LinkRef, Mac};
use crate::wire::{Attrs, Bytes as _};

impl Link {
    /// Reads the body of a message; `None` when it is malformed.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let attrs = Attrs::after(body, HEADER)?;
        let mut link = Self {
            index: LinkIndex(body.u32_at(4)?),
            name: LinkName::reported(String::new()),
            alt_names: Vec::new(),
            kind: LinkKind::Physical,
            mac: None,
            mtu: 0,
            flags: LinkFlags(body.u32_at(8)?),
            state: OperState::Unknown,
            carrier: false,
            master: None,
            peer: None,
            peer_netns: None,
            alias: None,
            promiscuity: 0,
            stats: LinkStats::default(),
            port: None,
            tx_queues: 0,
            rx_queues: 0,
            tx_queue_length: 0,
        };
        for (kind, value) in attrs {
            link.take(kind, value);
        }
        Some(link)
    }

    fn take(&mut self, kind: u16, value: &[u8]) {
        let number = || value.u32_at(0);
        match kind {
            attr::IFNAME => self.name = LinkName::reported(value.text()),
            attr::ADDRESS if value.len() == 6 => self.mac = value.array(0).map(Mac),
            attr::MTU => self.mtu = number().unwrap_or_default(),
            attr::OPERSTATE => {
                self.state = OperState::from_number(value.u8_at(0).unwrap_or_default());
            }
            attr::CARRIER => self.carrier = value.u8_at(0) == Some(1),
            attr::MASTER => self.master = number().filter(|&index| index != 0).map(LinkIndex),
            attr::LINK => self.peer = number().filter(|&index| index != 0).map(LinkIndex),
            attr::LINK_NETNSID => self.peer_netns = value.array(0).map(i32::from_ne_bytes),
            attr::IFALIAS => self.alias = Some(value.text()).filter(|alias| !alias.is_empty()),
            attr::PROMISCUITY => self.promiscuity = number().unwrap_or_default(),
            attr::NUM_TX_QUEUES => self.tx_queues = number().unwrap_or_default(),
            attr::NUM_RX_QUEUES => self.rx_queues = number().unwrap_or_default(),
            attr::TXQLEN => self.tx_queue_length = number().unwrap_or_default(),
            attr::STATS64 => self.stats = stats(value),
            attr::PROP_LIST => {
                self.alt_names = Attrs(value)
                    .filter(|(kind, _)| *kind == attr::ALT_IFNAME)
                    .map(|(_, name)| name.text())
                    .collect();
            }
            attr::LINKINFO => self.take_info(value),
            _ => {}
        }
    }

    fn take_info(&mut self, info: &[u8]) {
        let info = Attrs(info);
        let data = info.find(attr::INFO_DATA).unwrap_or_default();
        if let Some(kind) = info.find(attr::INFO_KIND) {
            self.kind = match kind.text().as_str() {
                "veth" => LinkKind::Veth,
                "bridge" => LinkKind::Bridge(Bridge::read(data)),
                "vxlan" => LinkKind::Vxlan(Box::new(Vxlan::read(data))),
                other => LinkKind::Other(other.to_owned()),
            };
        }
        if info
            .find(attr::INFO_SLAVE_KIND)
            .is_some_and(|kind| kind.text() == "bridge")
        {
            self.port = info.find(attr::INFO_SLAVE_DATA).map(BridgePort::read);
        }
    }
}

/// The link that a message is about, for texts: by name where it has one.
pub(crate) fn subject(body: &[u8]) -> String {
    let index = body.u32_at(4).unwrap_or_default();
    let name = Attrs::after(body, HEADER).and_then(|attrs| attrs.find(attr::IFNAME));
    match name {
        Some(name) => LinkRef::Name(LinkName::reported(name.text())).to_string(),
        None => LinkRef::Index(LinkIndex(index)).to_string(),
    }
}

/// `struct rtnl_link_stats64`.
fn stats(value: &[u8]) -> LinkStats {
    let counter = |index: usize| value.u64_at(index * 8).unwrap_or_default();
    LinkStats {
        rx_packets: counter(0),
        tx_packets: counter(1),
        rx_bytes: counter(2),
        tx_bytes: counter(3),
        rx_errors: counter(4),
        tx_errors: counter(5),
        rx_dropped: counter(6),
        tx_dropped: counter(7),
    }
}
