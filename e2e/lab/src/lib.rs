//! Nodes as bare network namespaces, for fast tests of the plugin and the agent.
//!
//! Everything is made fresh, belongs to one test and is gone when its value is dropped. What a process
//! leaves behind when it is killed is removed by the next process that makes a namespace.
//!
//! Private to a [`Namespace`]: links, addresses, routes, neighbours, nftables, sockets, and the keys of
//! `/proc/sys/net` as seen by a thread or command inside, and abstract unix sockets. Not private: files and
//! unix sockets with a path, process ids, and `/sys/class/net`, which shows the namespace of whoever
//! mounted `/sys`.

mod cable;
mod echo;
mod namespace;
mod snapshot;
mod underlay;
mod wait;

pub use cable::connect;
pub use echo::{Echo, can_reach, can_reach_udp, serve_echo, source_seen};
pub use namespace::Namespace;
pub use snapshot::Snapshot;
pub use underlay::{Node, Underlay};
pub use wait::wait_until;
