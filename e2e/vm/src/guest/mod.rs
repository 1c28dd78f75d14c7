//! Inside the machine.

pub(crate) mod agent;
mod host;
pub(crate) mod init;
