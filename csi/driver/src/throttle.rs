//! Limits of I/O: `io.max` of the cgroup that all pods are below.

use std::path::PathBuf;

use fairlead_csi_mount::{DeviceNumber, IoLimits, io_max, set_io_max};
use fairlead_csi_volume::Limits;

use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;

/// Where kubelet's cgroup drivers put pods.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup/kubepods.slice", "/sys/fs/cgroup/kubepods"];

/// The cgroup of pods, with the io controller; cgroup v1 has none.
fn cgroup() -> Option<PathBuf> {
    CGROUPS
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.join("io.max").exists())
}

/// Whether limits can be applied here.
pub(crate) fn is_supported() -> bool {
    cgroup().is_some()
}

/// Makes the kernel's limits of an active volume those of its record; writes only what differs.
pub(crate) fn apply(shared: &Shared, found: &Found, limits: &Limits) -> Result<(), DriverError> {
    let Some(cgroup) = cgroup() else {
        return Ok(());
    };
    let Some((major, minor)) = shared.lvm.status(found.vg(), found.lv())?.number else {
        return Ok(());
    };
    let device = DeviceNumber { major, minor };
    let wanted = IoLimits {
        read_bps: limits.read_bps,
        write_bps: limits.write_bps,
        read_iops: limits.read_iops,
        write_iops: limits.write_iops,
    };
    if io_max(&cgroup, device)? != wanted {
        set_io_max(&cgroup, device, &wanted)?;
    }
    Ok(())
}
