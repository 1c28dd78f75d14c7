//! The three things that bpf(2) has to do here: open a pinned program or map, and write to the map of pods.

#![expect(unsafe_code, reason = "bpf(2) has no safe form")]

use std::ffi::CString;
use std::io::Error;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::libc::{SYS_bpf, c_long, syscall};

/// Commands (`enum bpf_cmd`).
const MAP_UPDATE_ELEM: c_long = 2;
const OBJ_GET: c_long = 7;
const OBJ_GET_INFO_BY_FD: c_long = 15;

/// `BPF_NOEXIST`: an entry that is there is the agent's, and better than ours.
const NOEXIST: u64 = 1;

/// Bytes of `struct endpoint` in `netpol/bpf/layout.h`.
const ENDPOINT: usize = 128;

/// Offset of its `flags`, and the one that says that the link is a port of a bridge.
const FLAGS: usize = 120;
const BRIDGED: u32 = 2;

/// The first of `union bpf_attr` for `OBJ_GET`.
#[repr(C)]
struct ObjGet {
    path: u64,
    fd: u32,
    flags: u32,
}

/// For `MAP_UPDATE_ELEM`.
#[repr(C)]
struct Update {
    map: u32,
    zero: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// For `OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct GetInfo {
    fd: u32,
    length: u32,
    info: u64,
}

/// The beginning of `struct bpf_map_info`.
#[repr(C)]
#[derive(Default)]
struct MapInfo {
    kind: u32,
    id: u32,
    key_size: u32,
    value_size: u32,
}

/// Opens what is pinned at `path`.
pub(super) fn open(path: &Path) -> Result<OwnedFd, Error> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attr = ObjGet {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    // SAFETY: the kernel reads the attribute and the string behind it, which live until the call returns.
    let fd = unsafe { syscall(SYS_bpf, OBJ_GET, &raw const attr, size_of::<ObjGet>()) };
    let fd = i32::try_from(fd).unwrap_or(-1);
    if fd < 0 {
        return Err(Error::last_os_error());
    }
    // SAFETY: the kernel made the descriptor for this call, nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Enters a pod that no policy isolates into the map of pods, unless the agent has entered it.
pub(super) fn enter(map: &OwnedFd, link: u32, bridged: bool) -> Result<(), Error> {
    let number = |fd: &OwnedFd| u32::try_from(fd.as_raw_fd()).unwrap_or_default();
    let mut info = MapInfo::default();
    let attr = GetInfo {
        fd: number(map),
        length: u32::try_from(size_of::<MapInfo>()).unwrap_or_default(),
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes at most `length` bytes to `info`, which lives until the call returns.
    let told = unsafe {
        syscall(
            SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            &raw const attr,
            size_of::<GetInfo>(),
        )
    };
    if told < 0 {
        return Err(Error::last_os_error());
    }
    let sizes = (info.key_size as usize, info.value_size as usize);
    if sizes != (size_of::<u32>(), ENDPOINT) {
        let words = format!(
            "the map of pods has keys and values of {sizes:?} bytes, expected are (4, {ENDPOINT})"
        );
        return Err(Error::other(words));
    }
    let value = endpoint(bridged);
    let attr = Update {
        map: number(map),
        zero: 0,
        key: (&raw const link) as u64,
        value: value.as_ptr() as u64,
        flags: NOEXIST,
    };
    // SAFETY: the kernel reads a key and a value of the sizes that it just told, which live until the call returns.
    let done = unsafe {
        syscall(
            SYS_bpf,
            MAP_UPDATE_ELEM,
            &raw const attr,
            size_of::<Update>(),
        )
    };
    match Error::last_os_error() {
        error if done < 0 && error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Isolated in no direction: all policy sets are 0.
fn endpoint(bridged: bool) -> [u8; ENDPOINT] {
    let mut value = [0; ENDPOINT];
    let flags = if bridged { BRIDGED } else { 0 };
    value[FLAGS..FLAGS + size_of::<u32>()].copy_from_slice(&flags.to_ne_bytes());
    value
}
