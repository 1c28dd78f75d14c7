//! Machines with device-mapper: user-mode-linux, which is an ordinary process of this machine, and hosts with Debian's
//! kernel, udev and dmeventd in qemu, for what depends on these.
//!
//! The guest's root is this machine's, read through hostfs or 9p, below unpacked Debian packages (`e2e/tools/vm.sh`,
//! `host.sh`) and a tmpfs that takes all writes. Disks are sparse files that outlive the machine, so that it can be killed at any
//! instant and booted again on them.
//!
//! ```no_run
//! use fairlead_e2e_vm::{Disk, GIB, Vm};
//!
//! # fn main() -> anyhow::Result<()> {
//! let disk = Disk::temporary(8 * GIB)?;
//! let vm = Vm::builder().disk(&disk).boot()?;
//! vm.run("pvcreate -q /dev/ubda && vgcreate -q data /dev/ubda")?.success()?;
//! vm.kill()?;
//! let vm = Vm::builder().disk(&disk).boot()?;
//! assert!(vm.run("vgs --noheadings -o vg_name")?.success()?.contains("data"));
//! # Ok(())
//! # }
//! ```
//!
//! Processes: the caller → a supervisor (`fairlead-vm machine`), which makes a pid namespace → the kernel or qemu,
//! below its first process. A socket between the caller and the guest's serial line carries jobs and their output; when the
//! caller closes it, or dies, the supervisor kills the namespace, hence every process of the machine at once.

mod boot;
pub mod cli;
mod connection;
mod disk;
mod guest;
mod job;
mod line;
mod machine;
mod place;
mod scratch;
mod supervisor;
mod wire;

pub use disk::{Disk, GIB, MIB};
pub use job::{Command, Job, Output};
pub use machine::{Builder, Vm};
