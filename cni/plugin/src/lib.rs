//! The CNI plugin: one static binary whose name says its role.
