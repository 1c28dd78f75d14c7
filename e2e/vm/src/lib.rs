//! Machines with device-mapper: user-mode-linux, and qemu with Debian's kernel.
