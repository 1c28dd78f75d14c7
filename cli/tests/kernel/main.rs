//! The program in a namespace with state of ours and of others.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod cleanup;
mod policy;
