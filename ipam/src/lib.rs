//! Addresses for pods: host-local's configuration, a pure allocator, and one crash-safe file a network.
//!
//! - [`Config`] parses the `ipam` section and the runtime's arguments into checked types.
//! - The allocator is pure: next after last, a freed address is last in line, any size of range.
//! - [`Store`] is a locked session on `<dataDir>/<network>.leases`. It survives kill -9 between any two
//!   writes, and its leases do not survive a reboot: those whose namespace is gone are freed on
//!   another boot id ([`Env`]) and before exhaustion is reported.
//!
//! The file is the only state; it belongs to whoever holds its lock. A session takes microseconds:
//! never hold one across other work.

mod address;
mod alloc;
mod boot;
mod config;
mod error;
mod format;
mod host_local;
mod open;
mod owner;
mod range;
mod resolver;
mod store;
mod table;

pub use boot::{BootId, Env, MountedNamespaces, Namespaces, Presence};
pub use config::{Config, DEFAULT_DATA_DIR, MAX_SETS, NetworkName, Route};
pub use error::{ErrorKind, IpamError, RangeError, Result};
pub use format::is_lease_file;
pub use owner::{Lease, LeaseId, MAX_CONTAINER_ID, MAX_IFNAME, MAX_NETNS_PATH, Netns, Owner};
pub use range::{Range, RangeSet};
pub use resolver::Dns;
pub use store::{Assigned, Request, Store, Usage};
