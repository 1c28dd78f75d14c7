//! `struct dm_ioctl` and what follows it, as in `include/uapi/linux/dm-ioctl.h`.
#![expect(unsafe_code, reason = "one ioctl with a buffer of bytes")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::target::Target;
use super::{Device, Key};

/// `sizeof(struct dm_ioctl)`, up to and with `data[7]`.
pub(super) const HEADER: usize = HEADER_SIZE as usize;
const HEADER_SIZE: u32 = 312;
const NAME: usize = 48;
const NAME_LENGTH: usize = 128;
const UUID: usize = NAME + NAME_LENGTH;
const UUID_LENGTH: usize = 129;
/// `DM_IOCTL`.
const MAGIC: u32 = 0xfd;
/// Offered version: the oldest that has all that is used here but polling, which older kernels refuse.
const VERSION: [u32; 3] = [4, 0, 0];

/// Flags of `dm_ioctl.flags`.
pub(super) mod flag {
    pub(in crate::dm) const READONLY: u32 = 1;
    pub(in crate::dm) const SUSPEND: u32 = 1 << 1;
    pub(in crate::dm) const STATUS_TABLE: u32 = 1 << 4;
    pub(in crate::dm) const ACTIVE_PRESENT: u32 = 1 << 5;
    pub(in crate::dm) const INACTIVE_PRESENT: u32 = 1 << 6;
    pub(in crate::dm) const BUFFER_FULL: u32 = 1 << 8;
    pub(in crate::dm) const SKIP_LOCKFS: u32 = 1 << 10;
    pub(in crate::dm) const NOFLUSH: u32 = 1 << 11;
}

/// Numbers of the calls.
#[derive(Debug, Clone, Copy)]
pub(super) enum Number {
    ListDevices = 2,
    DevSuspend = 6,
    DevStatus = 7,
    TableDeps = 11,
    TableStatus = 12,
    TargetMessage = 14,
    ArmPoll = 16,
}

impl Number {
    /// `_IOWR(DM_IOCTL, number, struct dm_ioctl)`.
    fn request(self) -> u32 {
        (3 << 30) | (HEADER_SIZE << 16) | (MAGIC << 8) | self as u32
    }
}

/// A call and its answer.
#[derive(Debug)]
pub(super) struct Packet {
    bytes: Vec<u8>,
}

impl Packet {
    pub(super) fn new(
        key: Option<Key<'_>>,
        flags: u32,
        data: &[u8],
        room: usize,
    ) -> io::Result<Self> {
        let mut packet = Self {
            bytes: vec![0; room.max(HEADER + data.len())],
        };
        for (index, number) in VERSION.into_iter().enumerate() {
            packet.put(4 * index, number);
        }
        let size = u32::try_from(packet.bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
        packet.put(12, size);
        packet.put(16, HEADER_SIZE);
        packet.put(28, flags);
        let (at, most, text) = match key {
            Some(Key::Name(name)) => (NAME, NAME_LENGTH, name),
            Some(Key::Uuid(uuid)) => (UUID, UUID_LENGTH, uuid),
            None => (NAME, NAME_LENGTH, ""),
        };
        if text.len() >= most {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        packet.bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
        packet.bytes[HEADER..HEADER + data.len()].copy_from_slice(data);
        Ok(packet)
    }

    #[cfg(test)]
    pub(super) fn from_answer(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    fn put(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_ne_bytes(bytes.try_into().ok()?))
    }

    fn u64_at(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    }

    /// Text up to a zero.
    fn text_at(&self, at: usize, most: usize) -> String {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let bytes = &bytes[..bytes.len().min(most)];
        let end = bytes
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    pub(super) fn flags(&self) -> u32 {
        self.u32_at(28).unwrap_or_default()
    }

    fn data(&self) -> usize {
        self.u32_at(16).unwrap_or_default() as usize
    }

    pub(super) fn device(&self) -> Device {
        let flags = self.flags();
        Device {
            name: self.text_at(NAME, NAME_LENGTH),
            uuid: self.text_at(UUID, UUID_LENGTH),
            number: split(self.u64_at(40).unwrap_or_default()),
            open: self.u32_at(24).unwrap_or_default(),
            suspended: flags & flag::SUSPEND != 0,
            read_only: flags & flag::READONLY != 0,
            live: flags & flag::ACTIVE_PRESENT != 0,
            inactive: flags & flag::INACTIVE_PRESENT != 0,
            events: self.u32_at(32).unwrap_or_default(),
        }
    }

    /// `struct dm_target_spec`, each followed by its text; `next` counts from the first one.
    pub(super) fn targets(&self) -> Vec<Target> {
        let base = self.data();
        let mut targets = Vec::new();
        let mut at = base;
        for _ in 0..self.u32_at(20).unwrap_or_default() {
            let (Some(start), Some(length), Some(next)) =
                (self.u64_at(at), self.u64_at(at + 8), self.u32_at(at + 20))
            else {
                break;
            };
            targets.push(Target {
                start,
                length,
                kind: self.text_at(at + 24, 16),
                words: self.text_at(at + 40, usize::MAX),
            });
            at = base + next as usize;
        }
        targets
    }

    /// `struct dm_name_list`: `next` counts from each one, 0 ends the list.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut at = self.data();
        while let (Some(device), Some(next)) = (self.u64_at(at), self.u32_at(at + 8)) {
            // Without any device there is one empty entry.
            if device != 0 {
                names.push(self.text_at(at + 12, NAME_LENGTH));
            }
            if next == 0 {
                break;
            }
            at += next as usize;
        }
        names
    }

    /// `struct dm_target_deps`.
    pub(super) fn numbers(&self) -> Vec<(u32, u32)> {
        let at = self.data();
        let count = self.u32_at(at).unwrap_or_default() as usize;
        (0..count)
            .map_while(|index| self.u64_at(at + 8 + 8 * index))
            .map(split)
            .collect()
    }
}

/// `huge_decode_dev` of the kernel.
fn split(device: u64) -> (u32, u32) {
    let major = (device >> 8) & 0xfff;
    let minor = (device & 0xff) | ((device >> 12) & 0xfff_ff00);
    (
        u32::try_from(major).unwrap_or_default(),
        u32::try_from(minor).unwrap_or_default(),
    )
}

pub(super) fn ioctl(
    control: BorrowedFd<'_>,
    number: Number,
    packet: &mut Packet,
) -> io::Result<()> {
    // SAFETY: the kernel reads and writes at most `data_size` bytes at the pointer, which is the length of the
    // buffer, and keeps no reference to it.
    let result = unsafe {
        libc::ioctl(
            control.as_raw_fd(),
            number.request().into(),
            packet.bytes.as_mut_ptr(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_laid_out_as_the_kernel_has_it() {
        let packet =
            Packet::new(Some(Key::Name("vg-lv")), flag::SUSPEND, b"xyz", 400).expect("fits");
        assert_eq!(packet.bytes.len(), 400);
        assert_eq!(packet.u32_at(0), Some(4));
        assert_eq!(packet.u32_at(12), Some(400));
        assert_eq!(packet.u32_at(16), Some(312));
        assert_eq!(packet.flags(), 2);
        assert_eq!(&packet.bytes[48..54], b"vg-lv\0");
        assert_eq!(&packet.bytes[312..316], b"xyz\0");
        let uuid = Packet::new(Some(Key::Uuid("LVM-x")), 0, &[], 0).expect("fits");
        assert_eq!(&uuid.bytes[176..182], b"LVM-x\0");
        // DM_TABLE_STATUS as strace prints it.
        assert_eq!(Number::TableStatus.request(), 0xc138_fd0c);
        let long = "x".repeat(128);
        Packet::new(Some(Key::Name(&long)), 0, &[], 0).expect_err("too long");
    }

    #[test]
    fn targets_follow_each_other_by_offsets_from_the_first() {
        let mut packet = Packet::new(None, 0, &[0; 200], 0).expect("fits");
        packet.put(20, 2);
        for (at, start, next, kind, words) in [
            (312, 0_u64, 64_u32, "linear", "8:0 1"),
            (376, 9, 128, "striped", "2 128"),
        ] {
            packet.bytes[at..at + 8].copy_from_slice(&start.to_ne_bytes());
            packet.put(at + 20, next);
            packet.bytes[at + 24..at + 24 + kind.len()].copy_from_slice(kind.as_bytes());
            packet.bytes[at + 40..at + 40 + words.len()].copy_from_slice(words.as_bytes());
        }
        let targets = packet.targets();
        assert_eq!(targets.len(), 2);
        assert_eq!((targets[1].start, targets[1].kind.as_str()), (9, "striped"));
        assert_eq!(targets[0].words, "8:0 1");
    }

    #[test]
    fn no_answer_of_any_bytes_breaks_the_reader() {
        bolero::check!().for_each(|bytes: &[u8]| {
            let mut packet = vec![0; HEADER];
            packet[16..20].copy_from_slice(&HEADER_SIZE.to_ne_bytes());
            packet.extend_from_slice(bytes);
            let packet = Packet::from_answer(packet);
            let _ = (
                packet.device(),
                packet.targets(),
                packet.names(),
                packet.numbers(),
            );
        });
    }

    #[test]
    fn device_numbers_are_the_kernel_s_huge_ones() {
        assert_eq!(split(0xfd05), (253, 5));
        assert_eq!(split(0x0010_fd05), (253, 0x105));
    }
}
