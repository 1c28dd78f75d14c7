//! Inside the machine.

pub(crate) mod agent;
pub(crate) mod init;
