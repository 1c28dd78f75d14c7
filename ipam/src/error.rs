//! Every way in which configuration, allocation or the lease file can fail, in the operator's words.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

/// Result of this crate.
pub type Result<T, E = IpamError> = std::result::Result<T, E>;

/// What went wrong, with the value and what would have been legal.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpamError {
    /// The network configuration is not JSON or a key has the wrong type.
    #[error("cannot read the network configuration: {source}")]
    Decode {
        /// What serde found, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A range is refused; `place` says which one.
    #[error("{place}: {source}")]
    Range {
        /// `range set 0` or `ipam.subnet`.
        place: String,
        /// Why.
        #[source]
        source: RangeError,
    },
    /// Any other value of the configuration is refused.
    #[error("{key} {value}: {legal}")]
    Config {
        /// The key as the operator wrote it.
        key: &'static str,
        /// The refused value.
        value: String,
        /// What would be accepted.
        legal: String,
    },
    /// `CNI_CONTAINERID`, `CNI_IFNAME` or `CNI_NETNS` cannot be stored.
    #[error("{name} {value:?} is not valid: {legal}")]
    Environment {
        /// Name of the variable.
        name: &'static str,
        /// The refused value.
        value: String,
        /// What would be accepted.
        legal: &'static str,
    },
    /// The owner holds an address of this set already; ADD must not be repeated without DEL (CNI 1.1.0, ADD).
    #[error(
        "{address} has been allocated to container {container} interface {ifname}; \
         a second ADD needs a DEL first"
    )]
    Duplicate {
        /// What is held.
        address: IpAddr,
        /// The holder.
        container: String,
        /// The holder's interface.
        ifname: String,
    },
    /// No address of a set is free, also after leases of dead namespaces were freed.
    #[error(
        "no address is free in {range}: {held} held by pods; delete pods on this node or give it a larger range"
    )]
    Exhausted {
        /// `10.244.1.1-10.244.1.254`, several separated by commas.
        range: String,
        /// Addresses of the set that are held.
        held: u64,
    },
    /// A requested address is held by someone else.
    #[error("requested address {address} is held by container {container} interface {ifname}")]
    Held {
        /// What was requested.
        address: IpAddr,
        /// The holder.
        container: String,
        /// The holder's interface.
        ifname: String,
    },
    /// A requested address can never be given out.
    #[error("requested address {address} is the {role} of {subnet}; choose another one")]
    Special {
        /// What was requested.
        address: IpAddr,
        /// `gateway`, `network address`, `broadcast address`, `subnet-router anycast address`.
        role: &'static str,
        /// The subnet that it belongs to.
        subnet: IpNetwork,
    },
    /// Requested addresses match no range set, or several match the same one.
    #[error("requested addresses {addresses} fit no free range set; the sets are {sets}")]
    Unmatched {
        /// Separated by commas.
        addresses: String,
        /// Separated by `; `.
        sets: String,
    },
    /// A system call failed.
    #[error("cannot {operation} {path}: {source}")]
    Io {
        /// `open`, `lock`, `write` …
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// No room for the change; the file is as it was before.
    #[error(
        "cannot write {path}: the file system is full; free some space there, nothing was changed"
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The lease file's header is damaged: its leases cannot be trusted and are not thrown away silently.
    #[error(
        "lease file {path} is damaged ({reason}); stop the pods of this network on this node \
         (kubectl drain), then remove the file: the next ADD makes a new one"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The lease file was written by a newer program.
    #[error(
        "lease file {path} has format version {found}, this program reads version {known}; \
         install the newer program again"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Version in the file.
        found: u32,
        /// Version of this program.
        known: u32,
    },
}

/// Why a range or a range set is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// The set has no range.
    #[error("the range set is empty; give at least one range with a subnet")]
    Empty,
    /// The range names no subnet.
    #[error("a range has no subnet; give one, such as 10.1.2.0/24")]
    NoSubnet,
    /// The subnet is not written as address/length.
    #[error("subnet {0:?} is not an address with a prefix length, such as 10.1.2.0/24")]
    BadSubnet(String),
    /// A host address where the network address should stand.
    #[error("subnet {subnet} has host bits set; its network address is {network}")]
    HostBits {
        /// As written.
        subnet: IpNetwork,
        /// What was probably meant.
        network: IpNetwork,
    },
    /// Nothing to give out.
    #[error(
        "subnet {0} is too small to allocate from; the longest prefix is /30 for IPv4, /126 for IPv6"
    )]
    TooSmall(IpNetwork),
    /// The text is no address.
    #[error("{key} {value:?} is not an IP address")]
    BadAddress {
        /// `rangeStart`, `rangeEnd` or `gateway`.
        key: &'static str,
        /// As written.
        value: String,
    },
    /// Start or end lies outside of the subnet.
    #[error("{key} {address} is outside of subnet {subnet}")]
    Outside {
        /// `rangeStart` or `rangeEnd`.
        key: &'static str,
        /// As written.
        address: IpAddr,
        /// The legal range.
        subnet: IpNetwork,
    },
    /// The range ends before it starts.
    #[error("rangeEnd {end} comes before rangeStart {start}")]
    Backwards {
        /// First address.
        start: IpAddr,
        /// Last address.
        end: IpAddr,
    },
    /// A set gives one address of one family.
    #[error("mixed address families: {first} and {second}; put them into two range sets")]
    MixedFamilies {
        /// First range of the set.
        first: String,
        /// The range of the other family.
        second: String,
    },
    /// Two ranges share addresses.
    #[error("ranges {first} and {second} overlap")]
    Overlap {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
}

/// Class of an [`IpamError`], for the one place that maps errors to CNI codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Broken JSON or wrong types (CNI code 6).
    Decode,
    /// A refused value in the configuration (7).
    Config,
    /// A refused environment variable (4).
    Environment,
    /// A system call failed (5).
    Io,
    /// No address is free now (11 on ADD, 50 on STATUS).
    Exhausted,
    /// The address or the owner is taken (100 or above).
    Taken,
    /// The lease file needs an operator (5).
    Corrupt,
}

impl IpamError {
    /// The class that decides the CNI code.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Decode { .. } => ErrorKind::Decode,
            Self::Range { .. } | Self::Config { .. } => ErrorKind::Config,
            Self::Environment { .. } => ErrorKind::Environment,
            Self::Io { .. } | Self::Full { .. } => ErrorKind::Io,
            Self::Exhausted { .. } => ErrorKind::Exhausted,
            Self::Duplicate { .. }
            | Self::Held { .. }
            | Self::Special { .. }
            | Self::Unmatched { .. } => ErrorKind::Taken,
            Self::Corrupt { .. } | Self::Version { .. } => ErrorKind::Corrupt,
        }
    }

    /// For `map_err` on a system call.
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }
}
