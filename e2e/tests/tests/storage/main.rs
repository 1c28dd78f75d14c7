//! The driver on real LVM, in machines that can be killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod concurrency;
mod crash;
mod life;
