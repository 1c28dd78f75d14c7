//! The CNI plugin `fairlead-cni`: the name it is called by says its role.
//!
//! It starts as a C program does. The standard library's own start reads `/proc/self/maps` to find the
//! stack's guard page, some 80 µs, which a runtime would wait for at every call.

#![no_main]
#![expect(
    unsafe_code,
    reason = "the C runtime finds its entry by an exported name"
)]

// SAFETY: nothing else in this program has the name, and the C runtime calls it once.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    fairlead_cni_plugin::run()
}
