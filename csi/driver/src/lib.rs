//! The CSI driver: one storage process per node.
