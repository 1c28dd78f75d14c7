//! `fairlead-lab`: a real Kubernetes cluster in network namespaces of this machine.

use std::process::ExitCode;

fn main() -> ExitCode {
    match fairlead_e2e_cluster::cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("fairlead-lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}
