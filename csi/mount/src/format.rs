//! Makes file systems, with features that the oldest supported kernel mounts.
//!
//! That is Linux 5.10: a volume outlives the node's kernel, and nodes that are rolled back or differ
//! have to mount what another made. Features are listed in full rather than left to the defaults of
//! the installed `mkfs` and of `/etc/mke2fs.conf`.
//!
//! No force flag is passed: the programs refuse a device on which they see something, as a second
//! check of the formatting rule.
//!
//! Nothing is discarded: what is formatted here is fresh, and discarding a large disk takes minutes.

use std::path::Path;

use crate::device::device_size;
use crate::error::{MountError, Result};
use crate::exec::Tools;
use crate::fs_type::FsType;
use crate::uuid::Uuid;

/// ext4 without `orphan_file` (5.15); with the seed of checksums (4.4), so that a copy gets a new UUID
/// by one write.
const EXT4_FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,\
     flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,metadata_csum_seed";
/// XFS without `inobtcount`; `bigtime` is in 5.10, and without it times end in 2038.
const XFS_METADATA: &str = "crc=1,finobt=1,reflink=1,rmapbt=0,bigtime=1,inobtcount=0";
/// btrfs features that are newer than 5.10, taken away where the installed `mkfs` knows them.
const BTRFS_NEWER: [&str; 4] = ["block-group-tree", "raid-stripe-tree", "squota", "zoned"];

/// Words for `mkfs` from the storage class, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MkfsOptions {
    words: Vec<String>,
}

impl MkfsOptions {
    /// Splits at blanks (there is no shell and no quoting) and refuses every option that is not known
    /// to be harmless: a device, a force flag, a UUID or a size would not be one.
    pub fn parse(fs: FsType, text: &str) -> Result<Self> {
        let mut words = Vec::new();
        let mut rest = text.split_ascii_whitespace();
        while let Some(word) = rest.next() {
            let (flag, glued) = split_flag(word);
            let Some(takes_value) = allowed(fs, flag) else {
                return Err(refused(fs, word));
            };
            words.push(flag.to_owned());
            match (takes_value, glued) {
                (false, None) => {}
                (false, Some(_)) => return Err(refused(fs, word)),
                (true, glued) => {
                    let value = glued
                        .or_else(|| rest.next())
                        .ok_or_else(|| refused(fs, word))?;
                    check_value(fs, flag, value)?;
                    words.push(value.to_owned());
                }
            }
        }
        Ok(Self { words })
    }

    /// The words with our suboptions of one flag merged in: what the class says goes before ours.
    fn merge(words: &[String], flag: &str, ours: &str) -> Vec<String> {
        let (mut theirs, mut others) = (Vec::new(), Vec::new());
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            if word == flag {
                theirs.extend(
                    rest.next()
                        .map_or("", String::as_str)
                        .split(',')
                        .map(str::to_owned),
                );
            } else {
                others.push(word.clone());
            }
        }
        let given = |part: &str| theirs.iter().any(|their| key_of(their) == key_of(part));
        let mut parts: Vec<String> = if ours.is_empty() {
            Vec::new()
        } else {
            ours.split(',')
                .filter(|part| !given(part))
                .map(str::to_owned)
                .collect()
        };
        parts.append(&mut theirs);
        if !parts.is_empty() {
            others.extend([flag.to_owned(), parts.join(",")]);
        }
        others
    }
}

/// `crc` of `crc=1`, `64bit` of `^64bit`.
fn key_of(part: &str) -> &str {
    part.split('=')
        .next()
        .unwrap_or_default()
        .trim_start_matches('^')
}

/// `-b4096` is `-b` and `4096`; `--label=x` is `--label` and `x`.
fn split_flag(word: &str) -> (&str, Option<&str>) {
    if word.starts_with("--") {
        return word
            .split_once('=')
            .map_or((word, None), |(flag, value)| (flag, Some(value)));
    }
    match word.char_indices().nth(2) {
        Some((at, _)) if word.starts_with('-') => (&word[..at], Some(&word[at..])),
        _ => (word, None),
    }
}

/// Whether the option takes a value; none when it is not accepted.
fn allowed(fs: FsType, flag: &str) -> Option<bool> {
    let (with_value, alone): (&[&str], &[&str]) = match fs {
        FsType::Ext4 => (
            &[
                "-b", "-C", "-E", "-g", "-G", "-i", "-I", "-J", "-L", "-m", "-N", "-O", "-T",
            ],
            &[],
        ),
        FsType::Xfs => (&["-b", "-d", "-i", "-l", "-L", "-m", "-n", "-s"], &[]),
        FsType::Btrfs => (
            &[
                "-L",
                "--label",
                "-d",
                "--data",
                "-m",
                "--metadata",
                "-n",
                "--nodesize",
                "-O",
                "--csum",
            ],
            &["-M", "--mixed"],
        ),
    };
    if with_value.contains(&flag) {
        return Some(true);
    }
    alone.contains(&flag).then_some(false)
}

fn refused(fs: FsType, word: &str) -> MountError {
    let legal = match fs {
        FsType::Ext4 => "-b -C -E -g -G -i -I -J -L -m -N -O -T, each with a value",
        FsType::Xfs => "-b -d -i -l -L -m -n -s, each with a value",
        FsType::Btrfs => "-d -m -n -L -O --csum, each with a value, and -M",
    };
    let legal =
        format!("for {fs} it may be {legal}; device, UUID, size and force are not for a class");
    MountError::Option {
        what: "mkfs option",
        value: word.to_owned(),
        legal,
    }
}

/// Parts of a value that name another device, change the size, or keep what would be cleared.
fn check_value(fs: FsType, flag: &str, value: &str) -> Result<()> {
    let forbidden: &[&str] = match (fs, flag) {
        (FsType::Ext4, "-J") => &["device"],
        (FsType::Ext4, "-E") => &[
            "offset",
            "test_fs",
            "resize",
            "root_owner",
            "assume_storage_prezeroed",
            "orphan_file_size",
        ],
        (FsType::Xfs, "-d") => &[
            "name",
            "file",
            "size",
            "agcount",
            "concurrency",
            "daxinherit",
        ],
        (FsType::Xfs, "-l") => &["logdev", "name", "file", "internal"],
        (FsType::Xfs, "-m") => &["uuid"],
        _ => &[],
    };
    let bad = value.starts_with('-')
        || value.contains('/')
        || value.chars().any(char::is_control)
        || value.split(',').any(|part| {
            let key = part.split(['=', ':']).next().unwrap_or_default();
            forbidden.contains(&key)
        });
    if bad {
        return Err(MountError::Option {
            what: "mkfs option",
            value: format!("{flag} {value}"),
            legal: format!("for {fs} its value may not hold {}", listed(forbidden)),
        });
    }
    Ok(())
}

fn listed(words: &[&str]) -> String {
    [&["a path"], words].concat().join(" or ")
}

/// Formats a device that [`crate::decide`] has allowed to be formatted.
pub fn format(
    tools: &Tools,
    device: &Path,
    fs: FsType,
    uuid: Uuid,
    options: &MkfsOptions,
) -> Result<()> {
    let (size, minimum) = (device_size(device)?, fs.minimum_size());
    if size < minimum {
        return Err(MountError::TooSmall {
            fs,
            device: device.to_owned(),
            size,
            minimum,
        });
    }
    let (program, arguments) = match fs {
        FsType::Ext4 => ("mkfs.ext4", ext4_arguments(uuid, options)),
        FsType::Xfs => (
            "mkfs.xfs",
            xfs_arguments(uuid, options, xfs_version(tools, device)?),
        ),
        FsType::Btrfs => (
            "mkfs.btrfs",
            btrfs_arguments(uuid, options, &btrfs_newer(tools, device)?),
        ),
    };
    let arguments = arguments
        .iter()
        .map(AsRef::as_ref)
        .chain([device.as_os_str()]);
    tools.run(program, arguments, device, None)?.success()?;
    Ok(())
}

fn words<'a>(list: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    list.into_iter().map(str::to_owned).collect()
}

fn ext4_arguments(uuid: Uuid, options: &MkfsOptions) -> Vec<String> {
    let merged = MkfsOptions::merge(&options.words, "-O", EXT4_FEATURES);
    let merged = MkfsOptions::merge(&merged, "-E", "nodiscard");
    let mut all = words(["-q", "-t", "ext4", "-U", &uuid.to_string()]);
    all.extend(merged);
    all
}

/// Newer features have to be named to be left out, and only since the version that knows them.
fn xfs_arguments(uuid: Uuid, options: &MkfsOptions, version: (u32, u32)) -> Vec<String> {
    let inode = match version {
        version if version >= (6, 10) => "sparse=1,nrext64=0,exchange=0",
        version if version >= (5, 19) => "sparse=1,nrext64=0",
        _ => "sparse=1",
    };
    let naming = if version >= (6, 10) { "parent=0" } else { "" };
    let merged = MkfsOptions::merge(&options.words, "-m", &format!("{XFS_METADATA},uuid={uuid}"));
    let merged = MkfsOptions::merge(&merged, "-i", inode);
    let merged = MkfsOptions::merge(&merged, "-n", naming);
    let mut all = words(["-q", "-K"]);
    all.extend(merged);
    all
}

/// `mkfs.xfs version 6.1.0`; an unknown answer counts as old.
fn xfs_version(tools: &Tools, device: &Path) -> Result<(u32, u32)> {
    let answer = tools.run("mkfs.xfs", ["-V"], device, None)?.success()?;
    Ok(version_in(&answer))
}

fn version_in(answer: &str) -> (u32, u32) {
    let number = answer.split_ascii_whitespace().last().unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

fn btrfs_arguments(uuid: Uuid, options: &MkfsOptions, newer: &[&str]) -> Vec<String> {
    let without: Vec<String> = newer.iter().map(|feature| format!("^{feature}")).collect();
    let merged = MkfsOptions::merge(&options.words, "-O", &without.join(","));
    let mut all = words(["-q", "-K", "-U", &uuid.to_string(), "-s", "4096"]);
    all.extend(merged);
    all
}

/// Which of the newer features the installed `mkfs.btrfs` would name in `-O`.
fn btrfs_newer(tools: &Tools, device: &Path) -> Result<Vec<&'static str>> {
    let ended = tools.run("mkfs.btrfs", ["-O", "list-all"], device, None)?;
    // The list is on standard error.
    let list = format!("{}{}", ended.stdout, ended.stderr);
    let known = |name: &&str| {
        list.lines().any(|line| {
            line.split_ascii_whitespace().next() == Some(*name) && line.contains("default")
        })
    };
    Ok(BTRFS_NEWER.into_iter().filter(known).collect())
}

#[cfg(test)]
mod tests;
