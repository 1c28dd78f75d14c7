//! Copies: where a new volume cannot share its source's blocks.
//!
//! The target is tagged `making` until all is copied, so a crash leaves nothing that a CO knows of; the
//! repeated call begins anew. The source must not change meanwhile: a snapshot does not, a volume that is
//! open is refused. One copy runs at a time, so that a node's disks stay usable.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use fairlead_csi_volume::Kind;

use crate::driver::Shared;
use crate::error::DriverError;
use crate::groups::Found;
use crate::node::{activate, deactivate, is_idle};
use crate::thick::made;

/// Bytes that are read and written at once; also what is left out when it is zero.
const PIECE: usize = 1 << 20;
/// Pieces after which what was written is waited for, so that copies do not fill the page cache.
const SYNC: u64 = 64;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Copies `source` onto the volume `target`, which is being made, and ends its making.
pub(crate) fn into(shared: &Shared, source: &Found, target: &Found) -> Result<Found, DriverError> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let status = shared.lvm.status(source.vg(), source.lv())?;
    if source.record.kind == Kind::Volume && status.open > 0 {
        return Err(DriverError::precondition(format!(
            "volume {} is in use and would change while it is copied; make a snapshot of it, and the \
             new volume from that",
            source.id()
        )));
    }
    // A driver that died at a copy has left it active.
    let idle = !status.active || is_idle(&shared.lvm, source)?;
    activate(shared, source)?;
    activate(shared, target)?;
    let copied = copy(
        &source.vg().device(source.lv()),
        source.bytes() + source.header(),
        &target.vg().device(target.lv()),
        target.vg().bytes(target.lv()),
        target.record.parameters.layout.is_thin(),
    );
    if idle {
        deactivate(shared, source)?;
    }
    copied?;
    let target = made(shared, target)?;
    deactivate(shared, &target)?;
    Ok(target)
}

fn copy(from: &Path, bytes: u64, to: &Path, size: u64, sparse: bool) -> Result<(), DriverError> {
    let fault = |path: &Path| {
        let path: PathBuf = path.to_owned();
        move |error: io::Error| DriverError::Path {
            path,
            why: format!("copy: {error}"),
        }
    };
    let mut source = File::open(from).map_err(fault(from))?;
    let mut target = File::options().write(true).open(to).map_err(fault(to))?;
    let mut piece = vec![0; PIECE];
    let mut done = 0;
    let mut pieces = 0;
    while done < bytes {
        let length = usize::try_from(bytes - done).unwrap_or(PIECE).min(PIECE);
        let piece = &mut piece[..length];
        source.read_exact(piece).map_err(fault(from))?;
        if sparse && piece.iter().all(|byte| *byte == 0) {
            target
                .seek(SeekFrom::Start(done + length as u64))
                .map_err(fault(to))?;
        } else {
            target.write_all(piece).map_err(fault(to))?;
            pieces += 1;
        }
        done += length as u64;
        if pieces % SYNC == SYNC - 1 {
            target.sync_data().map_err(fault(to))?;
        }
    }
    target.sync_all().map_err(fault(to))?;
    if !sparse && size > bytes {
        fairlead_csi_mount::zero(to, bytes, size - bytes)?;
    }
    Ok(())
}
