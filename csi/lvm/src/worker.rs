//! The process that has LVM's library loaded and runs its commands.

use std::process::ExitCode;

/// Serves commands on standard input, a socket, until its other end is closed.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
