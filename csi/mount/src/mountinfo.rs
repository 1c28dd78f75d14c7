//! The kernel's mount table (proc(5), `/proc/PID/mountinfo`).

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::device::{DeviceNumber, device_number, is_block};
use crate::error::{MountError, Result};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountEntry {
    /// Its id.
    pub id: u64,
    /// The mount that it is on.
    pub parent: u64,
    /// The device of its files.
    pub device: DeviceNumber,
    /// What of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub mount_point: PathBuf,
    /// Options of this mount.
    pub options: String,
    /// Its peer group, when mounts below it appear elsewhere too.
    pub shared: Option<u64>,
    /// `ext4`.
    pub fs_type: String,
    /// `/dev/dm-3`.
    pub source: PathBuf,
    /// Options of the file system.
    pub super_options: String,
}

impl MountEntry {
    /// Whether nothing can be written through this mount.
    #[must_use]
    pub fn read_only(&self) -> bool {
        has(&self.options, "ro") || has(&self.super_options, "ro")
    }

    /// In words, for errors.
    #[must_use]
    pub(crate) fn in_words(&self) -> String {
        let how = if self.read_only() { "ro" } else { "rw" };
        format!(
            "{} ({}, device {}, {how})",
            self.source.display(),
            self.fs_type,
            self.device
        )
    }
}

fn has(options: &str, word: &str) -> bool {
    options.split(',').any(|option| option == word)
}

/// The mounts that this process sees, in the kernel's order.
#[derive(Clone, Debug, Default)]
pub struct Mounts(Vec<MountEntry>);

impl Mounts {
    /// Reads the table.
    pub fn read() -> Result<Self> {
        const TABLE: &str = "/proc/self/mountinfo";
        Self::parse(&fs::read(TABLE).map_err(MountError::io("read", TABLE))?)
    }

    /// Parses the table's bytes.
    pub fn parse(table: &[u8]) -> Result<Self> {
        table
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                entry(line).ok_or_else(|| MountError::Malformed {
                    what: "a line of mountinfo",
                    text: String::from_utf8_lossy(line).into_owned(),
                })
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// What is mounted exactly there: the topmost, where there are several.
    #[must_use]
    pub fn at(&self, path: &Path) -> Option<&MountEntry> {
        let path = resolved(path);
        self.0.iter().rev().find(|entry| entry.mount_point == path)
    }

    /// The mounts of this device's file system.
    pub fn of_device(&self, device: DeviceNumber) -> impl Iterator<Item = &MountEntry> {
        self.0.iter().filter(move |entry| entry.is_of(device))
    }

    /// The mounts that show the node of this device at another place.
    pub fn of_node(&self, device: DeviceNumber) -> impl Iterator<Item = &MountEntry> {
        self.0.iter().filter(move |entry| {
            entry.root != Path::new("/")
                && is_block(&entry.mount_point).unwrap_or(false)
                && device_number(&entry.mount_point).is_ok_and(|of| of == device)
        })
    }

    /// The mount that a path lies in.
    #[must_use]
    pub fn containing(&self, path: &Path) -> Option<&MountEntry> {
        let path = resolved(path);
        let depth = |entry: &&MountEntry| entry.mount_point.components().count();
        // Of equally deep ones the last is on top: max_by_key takes the last maximum.
        self.0
            .iter()
            .filter(|entry| path.starts_with(&entry.mount_point))
            .max_by_key(depth)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &MountEntry> {
        self.0.iter()
    }
}

/// The path as the kernel tells it: without links in the directories. The last component is not
/// looked at: what is mounted there may not answer.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    match (
        path.parent()
            .and_then(|parent| fs::canonicalize(parent).ok()),
        path.file_name(),
    ) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn entry(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut next = || fields.next();
    let (id, parent) = (number(next()?)?, number(next()?)?);
    let device = text(next()?).parse().ok()?;
    let (root, mount_point) = (path(next()?), path(next()?));
    let options = text(next()?);
    let mut shared = None;
    loop {
        match next()? {
            b"-" => break,
            tag => shared = tag.strip_prefix(b"shared:").map_or(shared, number),
        }
    }
    let (fs_type, source) = (text(next()?), path(next()?));
    let super_options = text(next()?);
    Some(MountEntry {
        id,
        parent,
        device,
        root,
        mount_point,
        options,
        shared,
        fs_type,
        source,
        super_options,
    })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

/// The kernel writes blank, tab, newline, backslash and hash as three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = if first == b'\\' { octal(tail) } else { None };
        if escaped.is_some() {
            rest = &tail[3..];
        }
        out.push(escaped.unwrap_or(first));
    }
    out
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.get(..3)?;
    digits.iter().try_fold(0_u8, |value, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        value.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[u8] = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
        36 22 253:3 / /var/lib/a\\040b ro,noatime shared:7 master:1 - xfs /dev/mapper/x rw,attr2\n\
        37 22 0:5 /dm-3 /var/lib/c\\134d rw - devtmpfs devtmpfs rw\n";

    #[test]
    fn fields_and_escapes_are_read() {
        let mounts = Mounts::parse(TABLE).unwrap();
        let xfs = mounts.at(Path::new("/var/lib/a b")).unwrap();
        assert_eq!((xfs.id, xfs.parent, xfs.shared), (36, 22, Some(7)));
        assert_eq!(
            xfs.device,
            DeviceNumber {
                major: 253,
                minor: 3
            }
        );
        assert!(xfs.read_only());
        assert!(mounts.at(Path::new("/var/lib/c\\d")).is_some());
        assert_eq!(mounts.of_device(xfs.device).count(), 1);
        assert_eq!(xfs.in_words(), "/dev/mapper/x (xfs, device 253:3, ro)");
    }

    #[test]
    fn a_path_lies_in_the_deepest_mount_above_it() {
        let mounts = Mounts::parse(TABLE).unwrap();
        assert_eq!(
            mounts.containing(Path::new("/var/lib/a b/c/d")).unwrap().id,
            36
        );
        assert_eq!(mounts.containing(Path::new("/var/lib/a")).unwrap().id, 22);
    }

    #[test]
    fn the_topmost_of_several_mounts_is_told() {
        let table =
            b"1 0 0:1 / / rw - t t rw\n2 1 0:2 / /a rw - t t rw\n3 2 0:3 / /a rw - t t rw\n";
        let mounts = Mounts::parse(table).unwrap();
        assert_eq!(mounts.at(Path::new("/a")).unwrap().id, 3);
        assert_eq!(mounts.containing(Path::new("/a")).unwrap().id, 3);
    }

    #[test]
    fn a_broken_line_is_an_error_that_shows_it() {
        let error = Mounts::parse(b"36 35 98:0 /a /b rw shared:1\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read a line of mountinfo \"36 35 98:0 /a /b rw shared:1\""
        );
    }

    #[test]
    fn this_kernels_table_is_read() {
        assert!(Mounts::read().unwrap().at(Path::new("/proc")).is_some());
    }

    #[test]
    fn any_path_survives_the_kernels_escapes() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|name| {
            let escaped: Vec<u8> = name
                .iter()
                .flat_map(|byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\\' | b'#' => format!("\\{byte:03o}").into_bytes(),
                    byte => vec![*byte],
                })
                .collect();
            assert_eq!(unescape(&escaped), *name);
        });
    }

    #[test]
    fn no_table_makes_the_parser_panic() {
        bolero::check!().for_each(|bytes| drop(Mounts::parse(bytes)));
    }
}
