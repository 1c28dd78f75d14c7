//! The host's own LVM configuration: what of it decides on who may touch what.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::text::{Section, Value};

/// Where LVM is configured, unless `LVM_SYSTEM_DIR` says otherwise.
const SYSTEM_DIR: &str = "/etc/lvm";

/// LVM as this host has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Host {
    /// Directory of `lvm.conf`.
    pub(crate) directory: PathBuf,
    /// `lvm.conf` with `lvmlocal.conf` on top, as LVM reads them.
    pub(crate) config: Section,
    /// System id, empty when there is none.
    pub(crate) system_id: String,
    /// Further system ids whose volume groups may be used.
    pub(crate) extra_ids: Vec<String>,
    /// Ids of the physical volumes that the devices file allows; `None`: no devices file is used.
    pub(crate) allowed: Option<BTreeSet<String>>,
    /// Where commands lock.
    pub(crate) locks: PathBuf,
}

impl Host {
    /// Reads the configuration; a missing file is an empty one.
    pub(crate) fn read() -> Self {
        let directory = env::var_os("LVM_SYSTEM_DIR")
            .filter(|directory| !directory.is_empty())
            .map_or_else(|| PathBuf::from(SYSTEM_DIR), PathBuf::from);
        Self::of(directory, &hostname())
    }

    fn of(directory: PathBuf, hostname: &str) -> Self {
        let mut config = file(&directory.join("lvm.conf"));
        let local = file(&directory.join("lvmlocal.conf"));
        config.keys.extend(local.keys);
        config.sections.extend(local.sections);
        let system_id = system_id(&config, hostname);
        let extra_ids = match config.at("local", "extra_system_ids") {
            Some(Value::List(ids)) => ids.iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        let allowed = devices_file(&directory, &config);
        let locks = config
            .at("global", "locking_dir")
            .and_then(text)
            .unwrap_or_else(|| "/run/lock/lvm".to_owned());
        Self {
            directory,
            system_id,
            extra_ids,
            allowed,
            locks: PathBuf::from(locks),
            config,
        }
    }

    /// Whether volume groups with this system id are this host's.
    pub(crate) fn owns(&self, system_id: &str) -> bool {
        system_id.is_empty()
            || system_id == self.system_id
            || self.extra_ids.iter().any(|id| id == system_id)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// A file that does not parse is LVM's to complain about: its commands fail with LVM's words.
fn file(path: &Path) -> Section {
    let bytes = fs::read(path).unwrap_or_default();
    Section::parse(&bytes).unwrap_or_default()
}

fn hostname() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_default()
}

/// See `lvmsystemid(7)`. `appmachineid` is not computed: such volume groups are refused as another host's.
fn system_id(config: &Section, hostname: &str) -> String {
    let source = config.at("global", "system_id_source").and_then(text);
    let id = match source.as_deref() {
        Some("uname") => hostname.to_owned(),
        Some("lvmlocal") => config
            .at("local", "system_id")
            .and_then(text)
            .unwrap_or_default(),
        Some("machineid") => first_line(Path::new("/etc/machine-id")),
        Some("file") => config
            .at("global", "system_id_file")
            .and_then(text)
            .map(|path| first_line(Path::new(&path)))
            .unwrap_or_default(),
        _ => String::new(),
    };
    clean(&id)
}

fn first_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .unwrap_or_default()
        .to_owned()
}

/// LVM keeps only these characters of an id, and no start that is not a letter or digit.
fn clean(id: &str) -> String {
    let kept: String = id
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "+_.-".contains(*c))
        .collect();
    kept.trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
        .to_owned()
}

/// Ids of the devices file: `… PVID=<id> …` on each line.
fn devices_file(directory: &Path, config: &Section) -> Option<BTreeSet<String>> {
    if config.at("devices", "use_devicesfile") == Some(&Value::Number(0)) {
        return None;
    }
    let name = config
        .at("devices", "devicesfile")
        .and_then(text)
        .unwrap_or_else(|| "system.devices".to_owned());
    // LVM uses all devices while the file does not exist.
    let content = fs::read_to_string(directory.join("devices").join(name)).ok()?;
    Some(
        content
            .lines()
            .filter(|line| !line.starts_with('#'))
            .flat_map(str::split_whitespace)
            .filter_map(|word| word.strip_prefix("PVID="))
            .map(|id| id.replace('-', ""))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(files: &[(&str, &str)]) -> Host {
        let directory = tempfile::tempdir().expect("directory");
        for (name, content) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("parent")).expect("directory");
            fs::write(path, content).expect("file");
        }
        Host::of(directory.path().to_owned(), "node-1.example")
    }

    #[test]
    fn without_configuration_lvm_s_defaults_hold() {
        let host = host(&[]);
        assert_eq!(host.system_id, "");
        assert_eq!(host.allowed, None);
        assert_eq!(host.locks, Path::new("/run/lock/lvm"));
        assert!(host.owns(""));
        assert!(!host.owns("other"));
    }

    #[test]
    fn the_system_id_comes_from_where_the_host_says() {
        let uname = host(&[("lvm.conf", "global { system_id_source = \"uname\" }")]);
        assert_eq!(uname.system_id, "node-1.example");
        let local = host(&[
            ("lvm.conf", "global/system_id_source = \"lvmlocal\""),
            (
                "lvmlocal.conf",
                "local { system_id = \" _a b\" extra_system_ids = [\"c\"] }",
            ),
        ]);
        assert_eq!(local.system_id, "ab");
        assert!(local.owns("ab") && local.owns("c") && !local.owns("d"));
    }

    #[test]
    fn what_lvmlocal_conf_says_holds() {
        let host = host(&[
            (
                "lvm.conf",
                "global { locking_dir = \"/a\" system_id_source = \"none\" }",
            ),
            (
                "lvmlocal.conf",
                "global { locking_dir = \"/b\" system_id_source = \"uname\" }",
            ),
        ]);
        assert_eq!(host.locks, Path::new("/b"));
        assert_eq!(host.system_id, "node-1.example");
    }

    #[test]
    fn a_devices_file_names_the_physical_volumes_that_may_be_used() {
        let host = host(&[
            ("lvm.conf", "devices { use_devicesfile = 1 }"),
            (
                "devices/system.devices",
                "# PVID=no\nVERSION=1.1.2\nIDTYPE=sys_wwid IDNAME=naa.1 DEVNAME=/dev/sda PVID=abc PART=1\n",
            ),
        ]);
        assert_eq!(host.allowed, Some(BTreeSet::from(["abc".to_owned()])));
    }
}
