//! The program `fairlead`; see `fairlead_cli`.

fn main() -> std::process::ExitCode {
    fairlead_cli::cli::main()
}
