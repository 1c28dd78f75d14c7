//! Kubernetes `NetworkPolicy`: what it means (the oracle), its compilation to the content of the data path's maps,
//! and an account of which policy and rule decided. Pure.

pub mod cluster;
pub mod tables;
