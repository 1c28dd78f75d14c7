//! What is said where the kernel gives no leave: threads that lay down capabilities.

#![expect(
    unsafe_code,
    clippy::unwrap_used,
    reason = "nothing else lays down the capabilities of one thread, and what fails fails the test"
)]

use std::io;

use fairlead_e2e_lab::BpfFolder;
use fairlead_netpol_datapath::{Config, Datapath, DatapathError, Feature};

const NET_ADMIN: u32 = 12;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    thread: i32,
}

/// Twice `struct __user_cap_data_struct`: effective, permitted, inheritable; the lower 32 first.
type Sets = [[u32; 3]; 2];

/// Runs `work` on a thread without some capabilities.
fn without<T: Send>(capabilities: &[u32], work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            lay_down(capabilities).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

fn lay_down(capabilities: &[u32]) -> io::Result<()> {
    let mut header = Header {
        version: VERSION,
        thread: 0,
    };
    let mut sets: Sets = [[0; 3]; 2];
    // SAFETY: both point to what capget(2) of this version fills, and outlive the call.
    let got = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, &raw mut sets) };
    if got != 0 {
        return Err(io::Error::last_os_error());
    }
    for capability in capabilities {
        sets[*capability as usize / 32][0] &= !(1 << (capability % 32));
    }
    // SAFETY: both point to what capset(2) of this version reads, and outlive the call.
    let set = unsafe { libc::syscall(libc::SYS_capset, &raw mut header, &raw const sets) };
    if set != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn open(capabilities: &[u32]) -> Result<(), DatapathError> {
    let folder = BpfFolder::new().unwrap();
    let config = Config {
        dir: folder.path().join("fairlead"),
        ..Config::default()
    };
    without(capabilities, || Datapath::open(&config).map(drop))
}

/// One test, in a process of its own: what aya finds out about the kernel, it asks once.
#[test]
fn each_capability_is_needed_that_the_error_names_and_no_other() {
    open(&[SYS_ADMIN]).unwrap();
    for needed in [BPF, PERFMON, NET_ADMIN] {
        let error = open(&[SYS_ADMIN, needed]).unwrap_err();
        let DatapathError::Missing { feature, .. } = error else {
            panic!("without {needed}: {error}")
        };
        assert_eq!(feature, Feature::Bpf);
        assert_eq!(
            error.to_string(),
            "this node lacks bpf(2): policy is not enforced here; it takes CONFIG_BPF_SYSCALL, and the \
             capabilities BPF, PERFMON and NET_ADMIN, or SYS_ADMIN and NET_ADMIN"
        );
    }
}
