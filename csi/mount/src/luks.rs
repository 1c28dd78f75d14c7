//! LUKS2 by `cryptsetup`. The key goes over standard input: never an argument, a file, a log.
//!
//! Mappings are opened with `--disable-keyring`: then the kernel's table holds the volume key itself, and
//! an online resize needs no secret. (With the keyring, `cryptsetup resize` asks for it again, and a
//! CSI expansion mostly comes without.) Only root can read that table.
//!
//! The password hash of slots is argon2id with 64 MiB: `cryptsetup` would take up to 1 GiB at every
//! open, more than a node's storage pod is given.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{MountError, Result};
use crate::exec::Tools;
use crate::holders::holders_of_device;
use crate::uuid::Uuid;

/// Bytes that LUKS takes at the start of a device: to be added to the size that was asked for.
pub const LUKS_HEADER: u64 = 16 << 20;

/// `cryptsetup` reads at most this much of a key.
const LONGEST_KEY: usize = 8 << 10;
/// The key in a request's secrets.
const SECRET: &str = "passphrase";
const NO_PERMISSION: i32 = 2;

/// A key or passphrase; its bytes are never shown and are overwritten when it is dropped.
pub struct Key(Vec<u8>);

impl Key {
    /// Takes the secret's bytes as they are: a line feed at the end is part of the key.
    pub fn new(bytes: Vec<u8>) -> Result<Self> {
        if bytes.is_empty() || bytes.len() > LONGEST_KEY {
            return Err(MountError::Option {
                what: "length of the encryption key",
                value: bytes.len().to_string(),
                legal: format!("1 to {LONGEST_KEY} bytes"),
            });
        }
        Ok(Self(bytes))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving the last write out.
        std::hint::black_box(&self.0);
    }
}

/// The mapping's name for an LV.
#[must_use]
pub fn luks_name(lv: &str) -> String {
    format!("fl-luks-{}", lv.replace('-', ""))
}

/// The mapping's device, if it is open.
pub fn is_luks_open(lv: &str) -> Result<Option<PathBuf>> {
    let name = luks_name(lv);
    let entries = fs::read_dir("/sys/block").map_err(MountError::io("list", "/sys/block"))?;
    for entry in entries.flatten() {
        let read = |file: &str| fs::read_to_string(entry.path().join("dm").join(file));
        let ours = read("name").is_ok_and(|it| it.trim() == name)
            && read("uuid").is_ok_and(|it| it.starts_with("CRYPT-LUKS"));
        if ours {
            return Ok(Some(Path::new("/dev/mapper").join(name)));
        }
    }
    Ok(None)
}

const SLOT: [&str; 6] = [
    "--pbkdf",
    "argon2id",
    "--pbkdf-memory",
    "65536",
    "--pbkdf-parallel",
    "1",
];

/// Writes a LUKS2 header of [`LUKS_HEADER`] bytes. All that was on the device is lost.
pub fn luks_format(tools: &Tools, device: &Path, key: &Key, uuid: Uuid) -> Result<()> {
    let uuid = uuid.to_string();
    // 32,768 sectors of 512 bytes are LUKS_HEADER.
    let mut arguments = vec![
        "luksFormat",
        "--batch-mode",
        "--type",
        "luks2",
        "--offset",
        "32768",
    ];
    arguments.extend(["--uuid", &uuid, "--key-file", "-", "--iter-time", "1000"]);
    arguments.extend(SLOT);
    run(tools, &arguments, &[device.as_os_str()], device, Some(key))
}

/// Opens the mapping; open already is success. Another key is [`MountError::WrongKey`].
pub fn luks_open(tools: &Tools, device: &Path, lv: &str, key: &Key) -> Result<PathBuf> {
    if let Some(open) = is_luks_open(lv)? {
        return Ok(open);
    }
    let name = luks_name(lv);
    let arguments = [
        "open",
        "--type",
        "luks2",
        "--key-file",
        "-",
        "--disable-keyring",
    ];
    run(
        tools,
        &arguments,
        &[device.as_os_str(), name.as_ref()],
        device,
        Some(key),
    )?;
    Ok(Path::new("/dev/mapper").join(name))
}

/// Closes the mapping; not open is success, in use is [`MountError::Busy`].
pub fn luks_close(tools: &Tools, lv: &str) -> Result<()> {
    let Some(mapping) = is_luks_open(lv)? else {
        return Ok(());
    };
    let name = luks_name(lv);
    let ended = tools.run("cryptsetup", ["close", name.as_str()], &mapping, None)?;
    // 5: the device exists or is busy.
    if ended.code() == Some(5) {
        let holders = holders_of_device(&mapping);
        return Err(MountError::Busy {
            operation: "close",
            object: mapping,
            holders,
        });
    }
    if is_luks_open(lv)?.is_none() {
        Ok(())
    } else {
        Err(ended.failure())
    }
}

/// Grows the mapping to the whole device below. Without the key where the kernel holds it.
pub fn luks_resize(tools: &Tools, lv: &str, key: Option<&Key>) -> Result<()> {
    let name = luks_name(lv);
    let Some(mapping) = is_luks_open(lv)? else {
        let path = Path::new("/dev/mapper").join(name);
        return Err(MountError::NotFound {
            operation: "grow",
            path,
        });
    };
    if key.is_none() && key_is_in_keyring(tools, &name, &mapping)? {
        return Err(MountError::KeyNeeded {
            mapping: name,
            secret: SECRET,
        });
    }
    let mut arguments = vec!["resize"];
    if key.is_some() {
        arguments.extend(["--key-file", "-"]);
    }
    run(tools, &arguments, &[name.as_ref()], &mapping, key)
}

/// `key location: keyring` in the words of `cryptsetup status`.
fn key_is_in_keyring(tools: &Tools, name: &str, mapping: &Path) -> Result<bool> {
    let status = tools
        .run("cryptsetup", ["status", name], mapping, None)?
        .success()?;
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    Ok(lines.any(|(key, value)| key.trim() == "key location" && value.trim() == "keyring"))
}

/// Gives a copy's header a UUID of its own. Needs no key: data and slots stay as they are.
pub fn luks_set_uuid(tools: &Tools, device: &Path, uuid: Uuid) -> Result<()> {
    let uuid = uuid.to_string();
    run(
        tools,
        &["luksUUID", "--batch-mode", "--uuid", &uuid],
        &[device.as_os_str()],
        device,
        None,
    )
}

/// Adds a second key, for a change of keys.
pub fn luks_add_key(tools: &Tools, device: &Path, key: &Key, added: &Key) -> Result<()> {
    // Both come over the one standard input, told apart by length.
    let (length, added_length) = (key.0.len().to_string(), added.0.len().to_string());
    let both = Key([key.0.as_slice(), added.0.as_slice()].concat());
    let mut arguments = vec!["luksAddKey", "--batch-mode", "--key-file", "-"];
    arguments.extend([
        "--keyfile-size",
        &length,
        "--new-keyfile-size",
        &added_length,
    ]);
    arguments.extend(["--iter-time", "1000"]);
    arguments.extend(SLOT);
    run(
        tools,
        &arguments,
        &[device.as_os_str(), "-".as_ref()],
        device,
        Some(&both),
    )
}

fn run(
    tools: &Tools,
    options: &[&str],
    operands: &[&std::ffi::OsStr],
    device: &Path,
    key: Option<&Key>,
) -> Result<()> {
    let arguments = options
        .iter()
        .map(AsRef::as_ref)
        .chain(operands.iter().copied());
    let ended = tools.run(
        "cryptsetup",
        arguments,
        device,
        key.map(|key| key.0.as_slice()),
    )?;
    if key.is_some() && ended.code() == Some(NO_PERMISSION) {
        return Err(MountError::WrongKey {
            device: device.to_owned(),
        });
    }
    ended.success().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_never_shown() {
        let key = Key::new(b"secret".to_vec()).unwrap();
        assert_eq!(format!("{key:?}"), "Key(…)");
    }

    #[test]
    fn a_key_has_some_bytes_and_not_too_many() {
        for length in [0, LONGEST_KEY + 1] {
            let error = Key::new(vec![b'x'; length]).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("length of the encryption key \"{length}\" is refused: 1 to 8192 bytes")
            );
        }
    }

    #[test]
    fn the_name_of_a_mapping_has_no_dashes_of_the_lv() {
        assert_eq!(luks_name("abc-def"), "fl-luks-abcdef");
    }
}
