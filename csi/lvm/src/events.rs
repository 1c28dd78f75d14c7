//! Waiting for what happens to devices, without asking again and again.

use std::time::Duration;

use crate::dm::DeviceMapper;
use crate::{LvmError, Result};

/// Tells that a device had an event: a pool passed its low-water mark or changed its mode, a snapshot
/// overflowed, a raid lost or regained a device. Which one is asked by [`crate::Lvm::status`].
#[derive(Debug)]
pub struct Events {
    dm: DeviceMapper,
}

impl Events {
    /// Starts to listen: events from now on count.
    ///
    /// # Errors
    /// `Io` when device-mapper is not there, or older than Linux 4.14.
    pub fn open() -> Result<Self> {
        let dm = DeviceMapper::open().map_err(LvmError::io("open", "/dev/mapper/control"))?;
        Ok(Self { dm })
    }

    /// Waits for an event, at most so long; `true`: there was one since the last call.
    ///
    /// # Errors
    /// `Io` when device-mapper refuses.
    pub fn wait(&self, at_most: Duration) -> Result<bool> {
        let wrong = || LvmError::io("wait for events of", "/dev/mapper/control");
        let happened = self.dm.wait(at_most).map_err(wrong())?;
        if happened {
            self.dm.arm().map_err(wrong())?;
        }
        Ok(happened)
    }
}
