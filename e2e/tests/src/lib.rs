//! Tests that span crates: the architecture, the namespace lab, the cluster.
