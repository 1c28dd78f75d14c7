//! What the programs tell: reasons, hooks and events.

use std::net::IpAddr;

use fairlead_netpol_model::tables::{ClassId, IfIndex, SetId};

/// Names a number of the programs, with the word that metrics and texts have for it.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal, $word:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant = $number),+
        }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What a number of the programs means.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

words! {
    /// Why a packet was let through or dropped (`enum reason`).
    Reason {
        /// It was allowed: of these only new flows are counted and told.
        Allowed = 0, "allowed";
        /// No policy that isolates the receiving pod allows it.
        Ingress = 1, "ingress";
        /// No policy that isolates the sending pod allows it.
        Egress = 2, "egress";
        /// It was sent from an address that is not the pod's.
        Source = 3, "source";
        /// It is shorter than its headers say, or they make no sense.
        Malformed = 4, "malformed";
        /// A later fragment whose first was not seen.
        Fragment = 5, "fragment";
        /// An ICMP error about no known flow, to or from an isolated pod.
        IcmpError = 6, "icmp-error";
        /// Neither IP nor ARP, to or from an isolated pod.
        NotIp = 7, "not-ip";
        /// The agent has not yet said what holds for the pod.
        Starting = 8, "starting";
    }
}

words! {
    /// Where the programs see packets (`enum hook`).
    Hook {
        /// A pod's packet, at its host end.
        FromPod = 0, "from-pod";
        /// A packet for a pod, at its host end.
        ToPod = 1, "to-pod";
        /// A packet that leaves by any other device.
        ToWire = 2, "to-wire";
        /// A packet for the node itself.
        ToNode = 3, "to-node";
    }
}

/// A packet that was dropped, or the first of a flow that was allowed. Of many only some are told: the record
/// are the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, by `CLOCK_MONOTONIC`, in ns.
    pub time: u64,
    /// The policy set that decided, if one did.
    pub set: Option<SetId>,
    /// The class of the peer, if it is a known pod.
    pub class: Option<ClassId>,
    /// Who sent it; of an ICMP error: the packet inside.
    pub source: IpAddr,
    /// Whom it is for.
    pub destination: IpAddr,
    /// Its source port; 0 where there are none.
    pub source_port: u16,
    /// Its destination port; 0 where there are none.
    pub destination_port: u16,
    /// Its protocol (`IPPROTO_*`).
    pub protocol: u8,
    /// Where it was seen.
    pub hook: Hook,
    /// The interface there.
    pub interface: IfIndex,
    /// The host end of the pod that was judged; 0: none.
    pub endpoint: IfIndex,
    /// What became of it.
    pub reason: Reason,
    /// The class of its port in the set.
    pub port_class: u8,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_words_lead_to_each_other() {
        for (number, reason) in (0..).zip(Reason::ALL) {
            assert_eq!(Reason::from_number(number), Some(*reason));
        }
        for (number, hook) in (0..).zip(Hook::ALL) {
            assert_eq!(Hook::from_number(number), Some(*hook));
        }
        assert_eq!(Reason::from_number(9), None);
        assert_eq!(Hook::ToNode.to_string(), "to-node");
    }
}
