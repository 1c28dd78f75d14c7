//! The storage process; see `fairlead_csi_driver`.

fn main() -> std::process::ExitCode {
    fairlead_csi_driver::cli::main()
}
