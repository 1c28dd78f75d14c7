//! `fairlead policy` and `fairlead flows`, as an operator runs them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot be set up has failed"
)]

mod agent;
mod files;

use std::process::{Command, Output};

/// Runs the program; its exit code, output and errors.
fn fairlead(arguments: &[&str]) -> (i32, String, String) {
    told(
        Command::new(env!("CARGO_BIN_EXE_fairlead"))
            .args(arguments)
            .output()
            .unwrap(),
    )
}

fn told(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}
