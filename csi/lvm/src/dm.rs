//! device-mapper by ioctl: what devices there are, how they do, and the few changes that need no LVM.

mod target;
mod wire;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(crate) use target::{Target, cow, pool, raid, thin};
use wire::{Number, Packet, flag};

const CONTROL: &str = "/dev/mapper/control";
/// Bytes that an answer may have, at first: it is asked again with more when it does not fit.
const ROOM: usize = 4 << 10;
/// No answer of the kernel is larger.
const MOST: usize = 64 << 20;

/// The kernel's device-mapper.
#[derive(Debug)]
pub(crate) struct DeviceMapper {
    control: File,
}

/// Name of a device for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key<'a> {
    /// Its name under `/dev/mapper`.
    Name(&'a str),
    /// Its uuid, as LVM and cryptsetup give them.
    Uuid(&'a str),
}

/// A device.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags of the kernel"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) uuid: String,
    /// Major and minor number.
    pub(crate) number: (u32, u32),
    pub(crate) open: u32,
    pub(crate) suspended: bool,
    pub(crate) read_only: bool,
    /// Whether a table is loaded.
    pub(crate) live: bool,
    /// Whether another table waits for the next resume.
    pub(crate) inactive: bool,
    /// Counts what happened to it.
    pub(crate) events: u32,
}

impl DeviceMapper {
    /// Opens the control node.
    pub(crate) fn open() -> io::Result<Self> {
        let control = OpenOptions::new()
            .read(true)
            .write(true)
            .open(Path::new(CONTROL))?;
        Ok(Self { control })
    }

    fn call(
        &self,
        number: Number,
        key: Option<Key<'_>>,
        flags: u32,
        data: &[u8],
    ) -> io::Result<Packet> {
        let mut room = ROOM.max(data.len() + wire::HEADER);
        loop {
            let mut packet = Packet::new(key, flags, data, room)?;
            wire::ioctl(self.control.as_fd(), number, &mut packet)?;
            if packet.flags() & flag::BUFFER_FULL == 0 || room >= MOST {
                return Ok(packet);
            }
            room *= 4;
        }
    }

    /// All devices: name and uuid are set, the rest only by [`Self::device`].
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.call(Number::ListDevices, None, 0, &[])?.names())
    }

    /// A device; `None`: there is none.
    pub(crate) fn device(&self, key: Key<'_>) -> io::Result<Option<Device>> {
        match self.call(Number::DevStatus, Some(key), 0, &[]) {
            Ok(packet) => Ok(Some(packet.device())),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The targets of the live table with their status. The kernel answers from memory: it neither flushes nor
    /// commits for this.
    pub(crate) fn status(&self, key: Key<'_>) -> io::Result<Option<(Device, Vec<Target>)>> {
        self.targets(key, flag::NOFLUSH)
    }

    /// The targets of the live table with their parameters.
    pub(crate) fn table(&self, key: Key<'_>) -> io::Result<Option<(Device, Vec<Target>)>> {
        self.targets(key, flag::STATUS_TABLE | flag::NOFLUSH)
    }

    fn targets(&self, key: Key<'_>, flags: u32) -> io::Result<Option<(Device, Vec<Target>)>> {
        match self.call(Number::TableStatus, Some(key), flags, &[]) {
            Ok(packet) => Ok(Some((packet.device(), packet.targets()))),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Numbers of the devices below.
    pub(crate) fn below(&self, key: Key<'_>) -> io::Result<Vec<(u32, u32)>> {
        Ok(self
            .call(Number::TableDeps, Some(key), flag::NOFLUSH, &[])?
            .numbers())
    }

    /// Waits for what is under way and holds what comes then. A file system on it is not frozen: only what is
    /// on its way to the device counts. A signal ends the waiting, and nothing is held then.
    pub(crate) fn hold(&self, key: Key<'_>) -> io::Result<()> {
        let flags = flag::SUSPEND | flag::SKIP_LOCKFS;
        self.call(Number::DevSuspend, Some(key), flags, &[])
            .map(drop)
    }

    /// Lets input and output go on. With a table that waits, that one becomes live.
    pub(crate) fn resume(&self, key: Key<'_>) -> io::Result<()> {
        self.call(Number::DevSuspend, Some(key), 0, &[]).map(drop)
    }

    /// Holds input and output, with what is under way on the disk and the file system in order.
    pub(crate) fn suspend(&self, key: Key<'_>) -> io::Result<()> {
        self.call(Number::DevSuspend, Some(key), flag::SUSPEND, &[])
            .map(drop)
    }

    /// Sends a message to the first target.
    pub(crate) fn message(&self, key: Key<'_>, message: &str) -> io::Result<()> {
        // struct dm_target_msg: the sector, then the text with a zero.
        let mut data = vec![0; 8];
        data.extend(message.bytes());
        data.push(0);
        self.call(Number::TargetMessage, Some(key), 0, &data)
            .map(drop)
    }

    /// Forgets older events: [`Self::wait`] then waits for new ones. The first wait needs it too.
    pub(crate) fn arm(&self) -> io::Result<()> {
        self.call(Number::ArmPoll, None, 0, &[]).map(drop)
    }

    /// Waits until any device had an event since [`Self::arm`] (a pool passed its low-water mark, a snapshot
    /// overflowed, a raid lost a device); `false`: none in that time.
    pub(crate) fn wait(&self, at_most: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.control.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(count) => Ok(count > 0),
            Err(nix::errno::Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
