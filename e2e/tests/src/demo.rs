//! The demonstration of storage; see `fairlead_e2e_tests::storage`.

fn main() -> std::process::ExitCode {
    fairlead_e2e_tests::storage::demo()
}
