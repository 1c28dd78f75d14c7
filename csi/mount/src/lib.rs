//! File systems and mounts: probe, format, mount, grow, encrypt, publish.
