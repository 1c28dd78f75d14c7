//! The agent; see `fairlead_agent`.

fn main() -> std::process::ExitCode {
    fairlead_agent::cli::main()
}
