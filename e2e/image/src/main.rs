//! `fairlead-image`: assembles container images as OCI layout tarballs.

use std::process::ExitCode;

fn main() -> ExitCode {
    match fairlead_e2e_image::cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairlead-image: {error:#}");
            ExitCode::FAILURE
        }
    }
}
