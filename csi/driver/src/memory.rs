//! How this process asks the kernel for memory. glibc is made for throughput: it keeps a heap for each of many threads,
//! and more and more of what was freed. A driver that does nothing most of the time is better off with one heap.
#![expect(unsafe_code, reason = "glibc's allocator is set by a call into it")]

/// Larger pieces, as a volume group's whole text, are mapped by themselves, and gone when they are freed. This is glibc's
/// first value; a program that does not set it has it grow with each large piece that is freed.
const LARGE: libc::c_int = 128 << 10;

/// Sets the allocator; to be called before there are threads.
pub(crate) fn spare() {
    for (setting, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_THRESHOLD, LARGE),
        (libc::M_TRIM_THRESHOLD, LARGE),
    ] {
        // SAFETY: mallopt takes any numbers; no other thread is there to allocate meanwhile.
        let known = unsafe { libc::mallopt(setting, value) };
        if known == 0 {
            tracing::debug!(setting, "the allocator does not know this setting");
        }
    }
}
