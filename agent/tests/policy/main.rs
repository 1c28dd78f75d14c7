//! `NetworkPolicy` on the real kernel: agents, the plugin and the programs in nodes behind a router.

mod answers;
mod api;
mod away;
mod bridge;
mod conditions;
mod full;
mod kubernetes;
mod leak;
mod life;
mod node;
mod pickup;
mod services;
mod shortcut;
mod stage;
mod start;
mod upgrade;
