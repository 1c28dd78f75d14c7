//! `fairlead-vm`: runs a command as root in a machine with device-mapper.

use std::process::ExitCode;

fn main() -> ExitCode {
    match fairlead_e2e_vm::cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fairlead-vm: {error:#}");
            ExitCode::from(125)
        }
    }
}
