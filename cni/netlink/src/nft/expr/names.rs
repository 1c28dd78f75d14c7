//! The numbers of properties and operators.

/// Declares an enumeration of kernel numbers with a variant for those that have no name here.
macro_rules! numbers {
    ($(#[$meta:meta])* $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $number:literal, )* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )*
            /// Any other number.
            Other(u32),
        }

        impl $name {
            pub(super) const fn number(self) -> u32 {
                match self {
                    $( Self::$variant => $number, )*
                    Self::Other(number) => number,
                }
            }

            pub(super) const fn from_number(number: u32) -> Self {
                match number {
                    $( $number => Self::$variant, )*
                    other => Self::Other(other),
                }
            }
        }
    };
}

numbers! {
    /// A property of a packet (`NFT_META_*`).
    MetaKey {
        /// Its length.
        Length = 0,
        /// Its Ethernet protocol.
        Protocol = 1,
        /// Its mark.
        Mark = 3,
        /// The number of the link that it came in by.
        Iif = 4,
        /// The number of the link that it leaves by.
        Oif = 5,
        /// The name of the link that it came in by.
        IifName = 6,
        /// The name of the link that it leaves by.
        OifName = 7,
        /// The hardware type of the link that it came in by.
        IifType = 8,
        /// Its family.
        NfProto = 15,
        /// Its transport protocol.
        L4Proto = 16,
        /// The name of the bridge that it came in by.
        BridgeIifName = 17,
        /// The name of the bridge that it leaves by.
        BridgeOifName = 18,
    }
}

numbers! {
    /// A property of a connection (`NFT_CT_*`).
    CtKey {
        /// Its state.
        State = 0,
        /// The packet's direction.
        Direction = 1,
        /// Its status.
        Status = 2,
        /// Its mark.
        Mark = 3,
        /// Its zone.
        Zone = 17,
    }
}

numbers! {
    /// What a lookup in the routing table gives (`NFT_FIB_RESULT_*`).
    FibResult {
        /// The number of the link.
        Oif = 1,
        /// The name of the link.
        OifName = 2,
        /// The kind of the address.
        AddressKind = 3,
    }
}

numbers! {
    /// Where bytes of a packet are counted from (`NFT_PAYLOAD_*`).
    PayloadBase {
        /// The link layer's header.
        Link = 0,
        /// The network layer's header.
        Network = 1,
        /// The transport layer's header.
        Transport = 2,
    }
}

numbers! {
    /// An operator (`NFT_CMP_*`).
    Compare {
        /// Equal.
        Equal = 0,
        /// Not equal.
        NotEqual = 1,
        /// Less.
        Less = 2,
        /// Less or equal.
        LessOrEqual = 3,
        /// Greater.
        Greater = 4,
        /// Greater or equal.
        GreaterOrEqual = 5,
    }
}

numbers! {
    /// A direction of translation (`NFT_NAT_*`).
    NatKind {
        /// Of the source.
        Source = 0,
        /// Of the destination.
        Destination = 1,
    }
}
