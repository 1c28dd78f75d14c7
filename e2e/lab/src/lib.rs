//! Nodes as bare network namespaces, and on them agents, plugins and pods, for fast tests of both programs.
//!
//! Everything is made fresh, belongs to one test and is gone when its value is dropped. What a process
//! leaves behind when it is killed is removed by the next process that makes a namespace.
//!
//! Private to a [`Namespace`]: links, addresses, routes, neighbours, nftables, sockets, and the keys of
//! `/proc/sys/net` as seen by a thread or command inside, and abstract unix sockets. Not private: files and
//! unix sockets with a path, process ids, and `/sys/class/net`, which shows the namespace of whoever
//! mounted `/sys`.

mod agent;
mod bpffs;
mod burst;
mod cable;
mod capture;
mod cluster;
mod count;
mod delay;
mod echo;
mod flood;
mod flow;
mod forge;
mod frame;
mod heard;
mod loss;
mod namespace;
mod object;
mod plugin;
mod pod;
mod pod_object;
mod policed;
mod program;
mod routed;
mod service;
mod snapshot;
mod talk;
mod underlay;
mod wait;
mod whole;

pub use agent::Agent;
pub use bpffs::BpfFolder;
pub use burst::{Burst, Catch, Sent};
pub use cable::{connect, wait_settled};
pub use capture::Capture;
pub use cluster::{Cluster, Programs};
pub use count::counted;
pub use delay::Delay;
pub use echo::{
    Echo, can_reach, can_reach_udp, serve_echo, source_seen, wait_blocked, wait_reach,
    wait_refused, wait_tcp,
};
pub use flood::flood;
pub use flow::{Flow, Passed, RATE};
pub use forge::vxlan_datagram;
pub use frame::{Encapsulated, Frame, Packet, Udp};
pub use heard::{Heard, assert_dropped, send_datagram};
pub use loss::Loss;
pub use namespace::{Namespace, ip, nft};
pub use object::{Objects, node_name, node_object, pod_ranges};
pub use plugin::{Failure, link_plugin, plugin_call, plugin_names, run_plugin};
pub use pod::{POD_PORT, Pod, first_plugin, wait_mesh};
pub use pod_object::PodObject;
pub use policed::{Named, Policed};
pub use program::program;
pub use routed::{Families, Host, Routed, Subnet};
pub use service::{Proxy, Service, proxy};
pub use snapshot::Snapshot;
pub use talk::TcpTalk;
pub use underlay::{Node, Underlay};
pub use wait::{LIMIT, wait_until};
pub use whole::WholeSender;
