//! The worker's part of [`crate::together`]: the lock, the timer, the calls to device-mapper.
#![expect(unsafe_code, reason = "a timer and its signal")]

use std::io;
use std::ptr;
use std::time::{Duration, Instant};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::Answer;
use crate::dm::{DeviceMapper, Key};
use crate::host::Host;
use crate::lvm::LOCKED;
use crate::reader::{Reader, Which};
use crate::recover::lock;
use crate::together::{Kernel, PATIENCE, Plan};
use crate::{LvUuid, LvmError, Result, VgUuid};

/// How long a disk is waited for.
const READ: Duration = Duration::from_secs(10);
/// How often the timer interrupts again: once could come just before a call that then waits.
const AGAIN: Duration = Duration::from_millis(100);

/// Takes these snapshots together; `ready` is told right before the first origin is held.
pub(super) fn run(
    vg: &str,
    snapshots: &[String],
    ready: impl FnOnce() -> io::Result<()>,
) -> Answer {
    match try_run(vg, snapshots, ready) {
        Ok(()) => Answer {
            done: true,
            ..Answer::default()
        },
        Err(error) => Answer {
            words: error.to_string(),
            ..Answer::default()
        },
    }
}

fn try_run(vg: &str, snapshots: &[String], ready: impl FnOnce() -> io::Result<()>) -> Result<()> {
    let wrong = |error: fairlead_csi_volume::IdError| LvmError::Worker {
        vg: vg.to_owned(),
        reason: error.to_string(),
    };
    let uuid: VgUuid = vg.parse().map_err(wrong)?;
    let snapshots = snapshots
        .iter()
        .map(|lv| lv.parse())
        .collect::<Result<Vec<LvUuid>, _>>()
        .map_err(wrong)?;
    let host = Host::read();
    let reader = Reader::new(READ);
    let read = || reader.find(Which::Uuid(&uuid))?.usable(&host);
    let name = read()?.name.clone();
    let path = host.locks.join(format!("V_{name}"));
    let held = lock(&path, LOCKED).map_err(LvmError::io("lock", &path))?;
    let busy = |reason: &str| LvmError::Unreachable {
        vg: name.clone(),
        reason: reason.to_owned(),
    };
    let held = held.ok_or_else(|| busy("another LVM command holds its lock all the time"))?;
    let vg = read()?;
    if vg.name != name {
        return Err(busy("it got another name in this moment"));
    }
    let plan = Plan::new(&vg, &snapshots)?;
    // Its threads could be given the timer's signal.
    drop(reader);
    let control = || LvmError::io("ask device-mapper about", &vg.name);
    let dm = DeviceMapper::open().map_err(control())?;
    ready().map_err(control())?;
    let timer = Timer::start(PATIENCE).map_err(control())?;
    let taken = plan.run(&mut Timed {
        dm: &dm,
        until: Instant::now() + PATIENCE,
    });
    drop((timer, held));
    taken.map_err(control())
}

/// Device-mapper, with an end to patience.
struct Timed<'a> {
    dm: &'a DeviceMapper,
    until: Instant,
}

impl Timed<'_> {
    fn in_time(&self) -> io::Result<()> {
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("its volumes would be held for more than {PATIENCE:?}"),
        ))
    }
}

impl Kernel for Timed<'_> {
    fn suspend(&mut self, device: &str) -> io::Result<bool> {
        self.in_time()?;
        match self.dm.hold(Key::Uuid(device)) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(false),
            // By the timer: what is under way does not end.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.in_time().and(Err(error))
            }
            Err(error) => Err(error),
        }
    }

    fn resume(&mut self, device: &str) -> io::Result<()> {
        self.dm.resume(Key::Uuid(device))
    }

    fn is_suspended(&mut self, device: &str) -> io::Result<bool> {
        let device = self.dm.device(Key::Uuid(device))?;
        Ok(device.is_some_and(|device| device.suspended))
    }

    fn message(&mut self, pool: &str, message: &str) -> io::Result<bool> {
        self.in_time()?;
        match self.dm.message(Key::Uuid(pool), message) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Interrupts what waits in the kernel, after a time and then again and again.
struct Timer;

extern "C" fn nothing(_: libc::c_int) {}

impl Timer {
    fn start(after: Duration) -> io::Result<Self> {
        let handler = SigHandler::Handler(nothing);
        // Without SA_RESTART: calls that wait end.
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGALRM, &action) }?;
        set(after, AGAIN)?;
        Ok(Self)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // It can only fail for values that are not these.
        let _ = set(Duration::ZERO, Duration::ZERO);
    }
}

fn set(after: Duration, again: Duration) -> io::Result<()> {
    let time = |duration: Duration| libc::timeval {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: duration.subsec_micros().into(),
    };
    let value = libc::itimerval {
        it_interval: time(again),
        it_value: time(after),
    };
    // SAFETY: reads one struct at a pointer that is valid for the call, and writes nothing.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const value, ptr::null_mut()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
