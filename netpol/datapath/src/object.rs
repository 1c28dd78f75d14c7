//! The compiled programs.

use aya::EbpfLoader;

use crate::error::DatapathError;

/// The object that `build.rs` makes of `netpol/bpf`; empty where clang was missing.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/fairlead.bpf.o"));

/// The programs by name.
pub const FROM_POD: &str = "from_pod";
/// Clsact egress of a pod's host end.
pub const TO_POD: &str = "to_pod";
/// Clsact egress of every other device.
pub const TO_WIRE: &str = "to_wire";
/// The socket filter of the input hook's rule.
pub const TO_NODE: &str = "to_node";

/// The object's bytes.
///
/// # Errors
///
/// This was built without clang.
pub fn bytes() -> Result<&'static [u8], DatapathError> {
    if OBJECT.is_empty() {
        return Err(DatapathError::NoObject);
    }
    Ok(OBJECT)
}

/// Puts the programs' clock ahead, so that flows can be older than the machine's start. For tests only.
pub fn clock_ahead<'a, 'b>(
    loader: &'b mut EbpfLoader<'a>,
    nanoseconds: &'a u64,
) -> &'b mut EbpfLoader<'a> {
    loader.override_global("clock_ahead", nanoseconds, true)
}

/// Makes the programs pass what `skb->tc_index` carries in `skb->mark` instead, which `BPF_PROG_TEST_RUN` can set.
/// For tests only.
pub fn carry_in_mark<'a, 'b>(loader: &'b mut EbpfLoader<'a>) -> &'b mut EbpfLoader<'a> {
    loader.override_global("carry_in_mark", &1_u32, true)
}
