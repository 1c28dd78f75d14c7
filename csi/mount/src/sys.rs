//! System calls that nix does not wrap: ioctls of block devices and file systems, detached mounts.
#![expect(unsafe_code, reason = "ioctls and the file-descriptor mount calls")]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::libc;
use nix::mount::MsFlags;

mod raw {
    nix::ioctl_read!(block_size64, 0x12, 114, u64);
    // BLKROSET is _IO(0x12, 93) and takes a pointer to an int.
    nix::ioctl_write_ptr_bad!(set_read_only, 0x125d, i32);
    // BLKZEROOUT is _IO(0x12, 127) and takes a pointer to start and length in bytes.
    nix::ioctl_write_ptr_bad!(zero_out, 0x127f, [u64; 2]);
    nix::ioctl_write_ptr!(ext4_resize, b'f', 16, u64);
    nix::ioctl_read!(xfs_geometry, b'X', 126, super::XfsGeometry);
    nix::ioctl_write_ptr!(xfs_grow_data, b'X', 110, super::XfsGrowData);
    nix::ioctl_write_ptr!(btrfs_resize, 0x94, 3, super::BtrfsVolumeArguments);
}

/// `struct xfs_fsop_geom` of `XFS_IOC_FSGEOMETRY` (since Linux 5.2).
#[repr(C)]
pub(crate) struct XfsGeometry {
    pub(crate) block_size: u32,
    pub(crate) realtime_extent_size: u32,
    pub(crate) group_blocks: u32,
    pub(crate) group_count: u32,
    pub(crate) log_blocks: u32,
    pub(crate) sector_size: u32,
    pub(crate) inode_size: u32,
    pub(crate) inode_maximum_percent: u32,
    pub(crate) data_blocks: u64,
    rest: [u8; 216],
}

/// `struct xfs_growfs_data`.
#[repr(C)]
pub(crate) struct XfsGrowData {
    pub(crate) new_blocks: u64,
    pub(crate) inode_maximum_percent: u32,
}

/// `struct btrfs_ioctl_vol_args`.
#[repr(C)]
pub(crate) struct BtrfsVolumeArguments {
    fd: i64,
    name: [u8; 4088],
}

const _: () = assert!(mem::size_of::<XfsGeometry>() == 256);
const _: () = assert!(mem::size_of::<XfsGrowData>() == 16);
const _: () = assert!(mem::size_of::<BtrfsVolumeArguments>() == 4096);

/// Bytes of a block device.
pub(crate) fn block_size64(device: &File) -> io::Result<u64> {
    let mut size = 0;
    // SAFETY: BLKGETSIZE64 writes one u64 to the pointer, which is valid for the call.
    unsafe { raw::block_size64(device.as_raw_fd(), &raw mut size) }?;
    Ok(size)
}

/// Has the kernel refuse all writes to the device, or take them again.
pub(crate) fn set_read_only(device: &File, read_only: bool) -> io::Result<()> {
    let value = i32::from(read_only);
    // SAFETY: BLKROSET reads one int from the pointer, which is valid for the call.
    unsafe { raw::set_read_only(device.as_raw_fd(), &raw const value) }?;
    Ok(())
}

/// Has the device write zeros, by its own means where it has some.
pub(crate) fn zero_out(device: &File, offset: u64, length: u64) -> io::Result<()> {
    let range = [offset, length];
    // SAFETY: BLKZEROOUT reads two u64 from the pointer, which is valid for the call.
    unsafe { raw::zero_out(device.as_raw_fd(), &raw const range) }?;
    Ok(())
}

/// Grows ext4 to so many blocks.
pub(crate) fn ext4_resize(mounted: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64 from the pointer, which is valid for the call.
    unsafe { raw::ext4_resize(mounted.as_raw_fd(), &raw const blocks) }?;
    Ok(())
}

/// What XFS says of itself.
pub(crate) fn xfs_geometry(mounted: &File) -> io::Result<XfsGeometry> {
    // SAFETY: the struct is integers only: zeros are a value of it.
    let mut geometry: XfsGeometry = unsafe { mem::zeroed() };
    // SAFETY: XFS_IOC_FSGEOMETRY writes that struct (its number holds the size) to a valid pointer.
    unsafe { raw::xfs_geometry(mounted.as_raw_fd(), &raw mut geometry) }?;
    Ok(geometry)
}

/// Grows XFS to so many blocks.
pub(crate) fn xfs_grow(mounted: &File, arguments: &XfsGrowData) -> io::Result<()> {
    // SAFETY: XFS_IOC_FSGROWFSDATA reads that struct from a valid pointer.
    unsafe { raw::xfs_grow_data(mounted.as_raw_fd(), arguments) }?;
    Ok(())
}

/// Grows btrfs' device 1 to all of its device.
pub(crate) fn btrfs_grow(mounted: &File) -> io::Result<()> {
    let mut arguments = BtrfsVolumeArguments {
        fd: 0,
        name: [0; 4088],
    };
    let words = b"1:max";
    arguments.name[..words.len()].copy_from_slice(words);
    // SAFETY: BTRFS_IOC_RESIZE reads that struct, whose name ends with a zero byte.
    unsafe { raw::btrfs_resize(mounted.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}

/// Has the kernel end the calling process when its parent ends. For use between fork and exec.
pub(crate) fn die_with_parent() -> io::Result<()> {
    // SAFETY: prctl with this option takes an integer and touches no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets `prepare` run in the child between fork and exec.
pub(crate) fn before_exec(
    command: &mut std::process::Command,
    prepare: fn() -> io::Result<()>,
) -> &mut std::process::Command {
    use std::os::unix::process::CommandExt;
    // SAFETY: what is passed here calls prctl only, which is safe after fork.
    unsafe { command.pre_exec(prepare) }
}

/// A mount that no directory shows; it ends with the descriptor.
#[derive(Debug)]
pub(crate) struct Detached(File);

impl Detached {
    /// Its root directory.
    pub(crate) fn root(&self) -> &File {
        &self.0
    }
}

/// Why a detached mount failed: the kernel's code and its words (where the file system gives some).
#[derive(Debug)]
pub(crate) struct MountFailure {
    pub(crate) source: io::Error,
    pub(crate) words: String,
}

/// Mounts a device nowhere (fsopen, fsmount: since Linux 5.2).
pub(crate) fn mount_detached(
    fs: &str,
    device: &Path,
    options: &[&str],
) -> Result<Detached, MountFailure> {
    let name = c_string(fs.as_bytes())?;
    // SAFETY: fsopen reads a C string that lives for the call.
    let context = descriptor(unsafe {
        libc::syscall(
            libc::SYS_fsopen,
            name.as_ptr(),
            libc::c_uint::from(FSOPEN_CLOEXEC),
        )
    })?;
    let configured = (|| {
        configure(
            &context,
            FSCONFIG_SET_STRING,
            Some("source"),
            Some(device.as_os_str().as_bytes()),
        )?;
        for option in options {
            configure(&context, FSCONFIG_SET_FLAG, Some(option), None)?;
        }
        configure(&context, FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: fsmount takes a descriptor and two integers.
        descriptor(unsafe {
            libc::syscall(
                libc::SYS_fsmount,
                context.as_raw_fd(),
                libc::c_uint::from(FSMOUNT_CLOEXEC),
                0 as libc::c_uint,
            )
        })
    })();
    let mount = configured.map_err(|failure: MountFailure| MountFailure {
        words: log_of(&context),
        ..failure
    })?;
    // The mount's descriptor is one of O_PATH: ioctls and syncs need an open directory.
    let dot = c".";
    // SAFETY: openat reads a C string that lives for the program.
    let root = descriptor(libc::c_long::from(unsafe {
        libc::openat(
            mount.as_raw_fd(),
            dot.as_ptr(),
            libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC,
        )
    }))?;
    Ok(Detached(File::from(root)))
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Binds a path to another by a detached copy that is restricted before anybody sees it
/// (`mount_setattr`: since Linux 5.12; ENOSYS before).
pub(crate) fn bind(source: &Path, target: &Path, flags: MsFlags) -> io::Result<()> {
    let (source, target) = (c_path(source)?, c_path(target)?);
    let clone = OPEN_TREE_CLONE | libc::O_CLOEXEC.cast_unsigned();
    // SAFETY: open_tree reads a C string that lives for the call.
    let tree = checked(unsafe {
        libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, source.as_ptr(), clone)
    })?;
    let known = [
        (MsFlags::MS_RDONLY, 1),
        (MsFlags::MS_NOSUID, 2),
        (MsFlags::MS_NODEV, 4),
        (MsFlags::MS_NOEXEC, 8),
    ];
    let set = known
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, bit)| bit)
        .sum();
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: mount_setattr reads an empty C string and a struct of the size it is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            mem::size_of::<MountAttributes>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: move_mount reads two C strings that live for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

const OPEN_TREE_CLONE: libc::c_uint = 1;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
const FSOPEN_CLOEXEC: u8 = 1;
const FSMOUNT_CLOEXEC: u8 = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;

fn configure(
    context: &OwnedFd,
    command: libc::c_uint,
    key: Option<&str>,
    value: Option<&[u8]>,
) -> Result<(), MountFailure> {
    let key = key.map(|key| c_string(key.as_bytes())).transpose()?;
    let value = value.map(c_string).transpose()?;
    let pointer =
        |text: &Option<CString>| text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    // SAFETY: fsconfig reads two C strings (or takes null) that live for the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_fsconfig,
            context.as_raw_fd(),
            command,
            pointer(&key),
            pointer(&value),
            0 as libc::c_int,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error().into())
    } else {
        Ok(())
    }
}

/// The messages that wait on a mount context, one line each, without their level.
fn log_of(context: &OwnedFd) -> String {
    let mut lines = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length) = nix::unistd::read(context, &mut buffer)
        && length > 0
        && lines.len() < 8
    {
        let line = String::from_utf8_lossy(&buffer[..length]);
        lines.push(
            line.trim()
                .trim_start_matches(['e', 'w', 'i'])
                .trim_start()
                .to_owned(),
        );
    }
    lines.join("; ")
}

fn descriptor(result: libc::c_long) -> Result<OwnedFd, MountFailure> {
    Ok(checked(result)?)
}

fn checked(result: libc::c_long) -> io::Result<OwnedFd> {
    let number = i32::try_from(result).unwrap_or(-1);
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just handed out this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

fn c_string(bytes: &[u8]) -> Result<CString, MountFailure> {
    CString::new(bytes).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput).into())
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}

impl From<io::Error> for MountFailure {
    fn from(source: io::Error) -> Self {
        Self {
            source,
            words: String::new(),
        }
    }
}
