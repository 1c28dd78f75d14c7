//! `BPF_PROG_TEST_RUN` (bpf(2)) with buffers that are made once: one system call a packet and nothing else.

#![expect(
    unsafe_code,
    reason = "no library runs a program without allocating for each packet"
)]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, Result};

/// The command's number.
const BPF_PROG_TEST_RUN: libc::c_int = 10;

/// `union bpf_attr`, the part for test runs.
#[repr(C)]
#[derive(Debug, Default)]
struct Attr {
    prog_fd: u32,
    retval: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    ctx_size_in: u32,
    ctx_size_out: u32,
    ctx_in: u64,
    ctx_out: u64,
    flags: u32,
    cpu: u32,
    batch_size: u32,
    pad: u32,
}

/// `struct __sk_buff` in words.
const WORDS: usize = 64;
const MARK: usize = 2;
const INGRESS_IFINDEX: usize = 9;
const IFINDEX: usize = 10;
/// Bytes until what no caller may set.
const GIVEN: u32 = 44;

/// Where a packet is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The device that the hook is at.
    pub(crate) ifindex: u32,
    /// The device that it came in by; 0: the node made it.
    pub(crate) ingress: u32,
    /// `skb->mark`, which stands in for what the programs carry.
    pub(crate) mark: u32,
}

/// A program's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) mark: u32,
}

/// Runs `program` on `frame`. The thread has to be in the namespace that has the devices.
pub(crate) fn run(program: BorrowedFd<'_>, place: Place, frame: &[u8]) -> Result<Answer> {
    let mut given = [0_u32; WORDS];
    let mut after = [0_u32; WORDS];
    given[MARK] = place.mark;
    given[INGRESS_IFINDEX] = place.ingress;
    given[IFINDEX] = place.ifindex;
    let mut attr = Attr {
        prog_fd: u32::try_from(program.as_raw_fd())?,
        data_size_in: u32::try_from(frame.len())?,
        data_in: frame.as_ptr() as u64,
        repeat: 1,
        ctx_size_in: GIVEN,
        ctx_in: given.as_ptr() as u64,
        ctx_size_out: u32::try_from(size_of_val(&after))?,
        ctx_out: after.as_mut_ptr() as u64,
        ..Attr::default()
    };
    // SAFETY: every pointer in `attr` is to a buffer of the size beside it that lives until the call returns.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_PROG_TEST_RUN,
            &raw mut attr,
            size_of::<Attr>(),
        )
    };
    if done != 0 {
        let error = std::io::Error::last_os_error();
        return Err(error).with_context(|| format!("test run at {place:?}: {frame:02x?}"));
    }
    Ok(Answer {
        code: attr.retval.cast_signed(),
        mark: after[MARK],
    })
}
