//! Thin snapshots of several volumes at one instant.
//!
//! LVM knows a command for one snapshot: it suspends the origin, takes the snapshot and resumes the origin. Several such
//! commands take snapshots of several instants. So each snapshot is made by its command first, and then all of
//! them are taken once more, together. That asks device-mapper alone; LVM's metadata (which volume has which number in
//! the pool, the pool's count of transactions) is right before, meanwhile and afterwards.
//!
//! 1. The lock of the volume group is taken and its metadata read: no LVM command runs until the end, and the
//!    numbers in the pool are those of these snapshots.
//! 2. Every active origin is suspended: what is under way is waited for, what comes later is held. File systems
//!    are not frozen, which no deadline could end: the snapshots are what a power failure leaves, with what was flushed
//!    by the commands before.
//! 3. Each snapshot is deleted in its pool and taken again under the same number. Where a pool is not active,
//!    nobody writes, and what LVM's command took holds.
//! 4. All origins are still suspended, or nothing is promised: somebody may have let one go too early.
//! 5. All origins go on.
//!
//! A write that was begun after another one had ended is in no snapshot without that other one: it was begun before its origin was
//! suspended, so the other one had ended before step 3, and step 3 takes all that has ended.
//!
//! No origin is held longer than 5 s, whoever dies:
//!
//! | what happens                               | who lets the origins go                                      |
//! |--------------------------------------------|--------------------------------------------------------------|
//! | what is under way does not end             | the worker: a timer interrupts it after [`PATIENCE`]         |
//! | the worker dies                            | the driver: it finds them as after any death ([`crate::recover`]) |
//! | the worker is stopped, or hangs            | the driver, after [`LONGEST`]: it kills the worker           |
//! | the driver dies                            | the worker: it goes on to the end                            |
//! | both die in the same moment                | the driver's next start                                      |
//!
//! A crash within step 3 leaves a snapshot that its pool does not have. The caller has it tagged as being made, and LVM
//! removes it like any other.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use crate::argv::find;
use crate::probe::dm_uuid;
use crate::{Layout, LvUuid, LvmError, Result, Vg};

/// So long the driver lets the worker hold origins. To end it takes some time too: 5 s in all are promised.
pub(crate) const LONGEST: Duration = Duration::from_millis(4500);
/// So long the worker tries.
pub(crate) const PATIENCE: Duration = Duration::from_secs(4);

/// What is to be done, in device-mapper's names and numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Devices to suspend.
    pub(crate) origins: BTreeSet<String>,
    takes: Vec<Take>,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Take {
    /// Device of the pool.
    pool: String,
    /// Number of the snapshot in the pool.
    snapshot: u32,
    /// Number of its origin.
    origin: u32,
}

/// What the plan needs of device-mapper.
pub(crate) trait Kernel {
    /// Waits for what is under way and holds what comes; `false`: the device is not active.
    fn suspend(&mut self, device: &str) -> io::Result<bool>;
    /// Lets a device go on.
    fn resume(&mut self, device: &str) -> io::Result<()>;
    /// Whether it is held.
    fn is_suspended(&mut self, device: &str) -> io::Result<bool>;
    /// Sends a message to a pool; `false`: it is not active.
    fn message(&mut self, pool: &str, message: &str) -> io::Result<bool>;
}

impl Plan {
    /// For snapshots of `vg`.
    ///
    /// # Errors
    /// `NotFound` when one of them or its origin is not there, `Invalid` when one is no thin snapshot, `NotTogether` while
    /// LVM has still to tell a pool something: that could be of the same numbers.
    pub(crate) fn new(vg: &Vg, snapshots: &[LvUuid]) -> Result<Self> {
        let mut plan = Self {
            origins: BTreeSet::new(),
            takes: Vec::new(),
        };
        let named = |name: &String| {
            vg.lv_named(name).ok_or_else(|| LvmError::NotFound {
                what: "logical volume",
                name: name.clone(),
            })
        };
        for uuid in snapshots {
            let lv = find(vg, uuid)?;
            let Layout::Thin {
                pool,
                origin: Some(origin),
                device_id: snapshot,
            } = &lv.layout
            else {
                return Err(not_a_snapshot(&lv.name));
            };
            let (pool, origin) = (named(pool)?, named(origin)?);
            if matches!(&pool.layout, Layout::ThinPool { messages, .. } if !messages.is_empty()) {
                return Err(LvmError::NotTogether {
                    vg: vg.name.clone(),
                    reason: format!(
                        "a dead command has left messages for thin pool {}",
                        pool.name
                    ),
                });
            }
            let Layout::Thin { device_id, .. } = &origin.layout else {
                return Err(not_a_snapshot(&lv.name));
            };
            plan.origins.insert(dm_uuid(&vg.uuid, &origin.uuid));
            plan.takes.push(Take {
                pool: format!("{}-tpool", dm_uuid(&vg.uuid, &pool.uuid)),
                snapshot: *snapshot,
                origin: *device_id,
            });
        }
        Ok(plan)
    }

    /// Steps 2 to 5; whatever fails, step 5 is done.
    pub(crate) fn run(&self, kernel: &mut impl Kernel) -> io::Result<()> {
        let mut held = Vec::new();
        let mut result = self.take(kernel, &mut held);
        for origin in held {
            result = result.and(kernel.resume(origin));
        }
        result
    }

    fn take<'a>(&'a self, kernel: &mut impl Kernel, held: &mut Vec<&'a str>) -> io::Result<()> {
        for origin in &self.origins {
            if kernel.suspend(origin)? {
                held.push(origin);
            }
        }
        for take in &self.takes {
            let Take {
                pool,
                snapshot,
                origin,
            } = take;
            if kernel.message(pool, &format!("delete {snapshot}"))? {
                kernel.message(pool, &format!("create_snap {snapshot} {origin}"))?;
            }
        }
        for origin in held {
            if !kernel.is_suspended(origin)? {
                return Err(io::Error::other("an origin was let go too early"));
            }
        }
        Ok(())
    }
}

fn not_a_snapshot(name: &str) -> LvmError {
    LvmError::Invalid {
        what: "logical volume",
        value: name.to_owned(),
        legal: "a snapshot of a thin volume is needed",
    }
}

#[cfg(test)]
mod tests;
