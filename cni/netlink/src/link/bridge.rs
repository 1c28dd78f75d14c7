//! Options of a bridge (`IFLA_BR_*`).

use crate::wire::{Attrs, Bytes as _, Writer};

const AGEING_TIME: u16 = 4;
const STP_STATE: u16 = 5;
const VLAN_FILTERING: u16 = 7;
const MCAST_SNOOPING: u16 = 23;
const NF_CALL_IPTABLES: u16 = 36;
const NF_CALL_IP6TABLES: u16 = 37;
const VLAN_DEFAULT_PVID: u16 = 39;

/// Options of a bridge; in a request `None` leaves the kernel's default, in an answer the kernel did not
/// report it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bridge {
    /// How long a learnt address is kept, in hundredths of a second.
    pub ageing_time: Option<u32>,
    /// The spanning tree protocol.
    pub stp: Option<bool>,
    /// VLAN filtering; `EOPNOTSUPP` where the kernel is built without it.
    pub vlan_filtering: Option<bool>,
    /// The VLAN of untagged frames, 0 for none.
    pub vlan_default_pvid: Option<u16>,
    /// IGMP and MLD snooping.
    pub multicast_snooping: Option<bool>,
    /// Whether bridged IPv4 packets pass iptables.
    pub nf_call_iptables: Option<bool>,
    /// Whether bridged IPv6 packets pass ip6tables.
    pub nf_call_ip6tables: Option<bool>,
}

impl Bridge {
    /// Whether all options are left as they are.
    pub(crate) fn is_default(self) -> bool {
        self == Self::default()
    }

    pub(crate) fn write(self, w: &mut Writer) {
        if let Some(ageing_time) = self.ageing_time {
            w.u32(AGEING_TIME, ageing_time);
        }
        if let Some(stp) = self.stp {
            w.u32(STP_STATE, u32::from(stp));
        }
        w.flag(VLAN_FILTERING, self.vlan_filtering);
        w.flag(MCAST_SNOOPING, self.multicast_snooping);
        w.flag(NF_CALL_IPTABLES, self.nf_call_iptables);
        w.flag(NF_CALL_IP6TABLES, self.nf_call_ip6tables);
        if let Some(pvid) = self.vlan_default_pvid {
            w.u16(VLAN_DEFAULT_PVID, pvid);
        }
    }

    pub(crate) fn read(data: &[u8]) -> Self {
        let mut bridge = Self::default();
        for (kind, value) in Attrs(data) {
            let flag = || value.u8_at(0).map(|byte| byte != 0);
            match kind {
                AGEING_TIME => bridge.ageing_time = value.u32_at(0),
                STP_STATE => bridge.stp = value.u32_at(0).map(|state| state != 0),
                VLAN_FILTERING => bridge.vlan_filtering = flag(),
                MCAST_SNOOPING => bridge.multicast_snooping = flag(),
                NF_CALL_IPTABLES => bridge.nf_call_iptables = flag(),
                NF_CALL_IP6TABLES => bridge.nf_call_ip6tables = flag(),
                VLAN_DEFAULT_PVID => bridge.vlan_default_pvid = value.u16_at(0),
                _ => {}
            }
        }
        bridge
    }
}
