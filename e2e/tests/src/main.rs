//! The client that storage tests run inside machines; see `fairlead_e2e_tests::storage`.

fn main() -> std::process::ExitCode {
    fairlead_e2e_tests::storage::program()
}
