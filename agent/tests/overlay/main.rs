//! Mode `vxlan` on the real kernel: agents and the plugin as processes in nodes behind a router.

mod cluster;
mod forged;
mod host;
mod life;
mod mtu;
mod paths;
mod quiet;
mod refusals;
mod repairs;
mod switch;
mod tracking;
mod weather;
