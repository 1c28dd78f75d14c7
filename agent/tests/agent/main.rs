//! The agent as a process in nodes that are network namespaces, over the real kernel.

mod api;
mod config;
mod drops;
mod frame;
mod gc;
mod harness;
mod install;
mod many;
mod overlay;
mod peers;
mod routes;
mod rules;
mod status;
mod sysctls;
mod tunnel;
