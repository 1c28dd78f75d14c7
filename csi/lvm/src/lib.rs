//! The only place that reads and changes LVM and device-mapper.
