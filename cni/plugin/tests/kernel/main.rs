//! The real program against the real kernel: every test has network namespaces of its own.

#![expect(
    unsafe_code,
    reason = "a call is traced from between fork and exec, and frames are sent as they are"
)]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod addresses;
mod bridge;
mod crowd;
mod direct;
mod frame;
mod guard;
mod keys;
mod kill;
mod life;
mod loopback;
mod node;
mod policy;
mod refusals;
mod trace;
