//! The driver on real LVM, in machines that can be killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod beside;
mod blocks;
mod capacity;
mod concurrency;
mod crash;
mod data;
mod data_zeros;
mod full;
mod harness;
mod kills;
mod life;
mod reboots;
mod sanity;
