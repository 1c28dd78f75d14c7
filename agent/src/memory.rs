//! How the C library keeps freed memory.

#![expect(unsafe_code, reason = "a switch of the C library")]

/// Pools of memory that threads share. glibc gives each thread one of its own, up to eight a processor, and
/// what a pass over thousands of nodes frees stays in that of the thread which happened to make it.
#[cfg(target_env = "gnu")]
const POOLS: nix::libc::c_int = 2;

/// Makes threads share pools. To be called before there are threads.
pub fn share_pools() {
    // SAFETY: a number is set, and no other thread allocates meanwhile.
    #[cfg(target_env = "gnu")]
    unsafe {
        nix::libc::mallopt(nix::libc::M_ARENA_MAX, POOLS);
    }
}
