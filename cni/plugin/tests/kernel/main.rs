//! The real program against the real kernel: every test has network namespaces of its own.

#![expect(unsafe_code, reason = "a call is traced from between fork and exec")]

mod bridge;
mod direct;
mod kill;
mod loopback;
mod node;
mod trace;
