//! The real program against the real kernel: every test has network namespaces of its own.

mod bridge;
mod direct;
mod loopback;
mod node;
