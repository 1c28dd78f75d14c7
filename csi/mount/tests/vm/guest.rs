//! The side inside the machine.

use std::env;

use fairlead_csi_mount::FsType;

/// Names the case.
pub(crate) const CASE: &str = "FAIRLEAD_MOUNT_CASE";

#[test]
#[ignore = "the side inside the machine; without a case it does nothing"]
fn run() {
    let Ok(case) = env::var(CASE) else { return };
    let (name, rest) = case.split_once(' ').unwrap_or((&case, ""));
    let fs = || rest.parse::<FsType>().unwrap();
    let done = match name {
        "life" => crate::life::run(fs()),
        "copies" => crate::copies::run(fs()),
        "interrupted" => crate::interrupted::run(rest),
        "stage-once" => crate::interrupted::stage_once(rest),
        "encryption" => crate::encryption::run(),
        "block" => crate::block::run(),
        "refusals" => crate::refusals::run(),
        other => panic!("no case {other}"),
    };
    if let Err(error) = done {
        panic!("{case}: {error:?}");
    }
}
