//! The per-node network daemon.
