//! File systems on real logical volumes, in machines with device-mapper.
//!
//! Each test here boots a machine with a volume group and a thin pool, and runs this same program inside
//! it with the name of a case.

mod block;
mod copies;
mod encryption;
mod guest;
mod interrupted;
mod lab;
mod life;
mod refusals;

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use fairlead_e2e_vm::{Command, Disk, GIB, Vm};

/// Runs one case inside a machine of its own.
fn in_a_machine(case: &str) -> Result<()> {
    let disk = Disk::temporary(6 * GIB)?;
    let vm = Vm::builder().disk(&disk).memory("700M").boot()?;
    let prepare = "pvcreate -q /dev/ubda && vgcreate -q data /dev/ubda && \
                   lvcreate -q -y --type thin-pool -L 5g --poolmetadatasize 16m -n pool data";
    vm.run(prepare)?.success()?;
    let program = std::env::current_exe()?;
    let command = Command::new(program.to_string_lossy())
        .args(["--exact", "guest::run", "--ignored", "--nocapture"])
        .env(guest::CASE, case)
        .timeout(Duration::from_mins(9));
    let text = match vm.output(&command)?.success() {
        Ok(text) => text,
        Err(error) => bail!("{error}\n{}", vm.run("dmesg | tail -n 40")?.text()),
    };
    ensure!(text.contains("1 passed"), "the case did not run: {text}");
    Ok(())
}

macro_rules! cases {
    ($($name:ident = $case:literal;)*) => {$(
        #[test]
        #[ignore = "boots a virtual machine: run by make test's storage stage"]
        fn $name() -> Result<()> {
            in_a_machine($case)
        }
    )*};
}

cases! {
    ext4_lives = "life ext4";
    xfs_lives = "life xfs";
    btrfs_lives = "life btrfs";
    ext4_is_copied_beside_its_source = "copies ext4";
    xfs_is_copied_beside_its_source = "copies xfs";
    btrfs_is_copied_beside_its_source = "copies btrfs";
    a_killed_mkfs_of_ext4_is_made_again = "interrupted ext4";
    a_killed_mkfs_of_xfs_is_made_again = "interrupted xfs";
    a_killed_mkfs_of_btrfs_is_made_again = "interrupted btrfs";
    a_killed_first_stage_with_encryption_is_made_again = "interrupted encrypted";
    an_encrypted_volume_lives_and_keeps_its_key_to_itself = "encryption";
    a_block_device_is_published = "block";
    what_is_not_ours_is_refused = "refusals";
}
