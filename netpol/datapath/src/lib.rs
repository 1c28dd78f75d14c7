//! The eBPF programs that enforce `NetworkPolicy`: loading, attaching, and the maps that they share with us.
