//! The CNI plugin `fairlead-cni`: the name it is called by says its role.

use std::process::ExitCode;

fn main() -> ExitCode {
    fairlead_cni_plugin::run()
}
