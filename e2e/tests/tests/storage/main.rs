//! The driver on real LVM, in machines that can be killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod access;
mod adopted;
mod area;
mod beside;
mod blocks;
mod capacity;
mod concurrency;
mod crash;
mod data;
mod data_zeros;
mod ending;
mod ephemeral;
mod errors;
mod full;
mod groups;
mod hanging;
mod harness;
mod host;
mod input;
mod kills;
mod life;
mod limits;
mod power;
mod reboots;
mod recovery;
mod sanity;
mod secrets;
