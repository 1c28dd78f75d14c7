//! The worker's `lvm.conf`: the host's, with what must be otherwise in a worker. It is a file and not `--config`,
//! because LVM sets itself up anew, twice, for a command with that; and it names the volume group's devices in a
//! filter and not by `--devices`, because the library of 2.03.16 keeps those words beyond the command's memory:
//! the next command crashes, or writes what has come to be there.

use std::fs;
use std::path::{Path, PathBuf};

use fairlead_csi_volume::pool::EVENT_AT;

use crate::host::Host;
use crate::text::{Section, Value};
use crate::{LvmError, Result, Vg};

/// Where udev tells that it runs.
const UDEV: &str = "/run/udev/control";

/// The devices of all physical volumes: LVM takes those that it does not see for missing.
pub(crate) fn devices(vg: &Vg) -> Result<Vec<String>> {
    vg.pvs
        .iter()
        .map(|pv| {
            let device = pv.device.as_ref().map(|path| path.display().to_string());
            device.ok_or_else(|| LvmError::Partial {
                vg: vg.name.clone(),
                missing: vg.missing(),
            })
        })
        .collect()
}

/// Writes the configuration of a volume group's worker, which sees `devices` and no others, below a directory;
/// the result is the worker's `LVM_SYSTEM_DIR`.
pub(crate) fn write(run_dir: &Path, vg: &Vg, devices: &[String]) -> Result<PathBuf> {
    let host = Host::read();
    let directory = run_dir.join("lvm").join(vg.uuid.to_string());
    fs::create_dir_all(&directory).map_err(LvmError::io("create", &directory))?;
    // This section is looked for in no other file.
    let mut local = Section::default();
    let of_local = host
        .config
        .sections
        .iter()
        .filter(|(name, _)| name == "local");
    local.sections.extend(of_local.cloned());
    let config = render(&host, Path::new(UDEV).exists(), devices);
    for (name, content) in [("lvm.conf", config), ("lvmlocal.conf", local)] {
        // Two workers may start at once: each reads a whole file.
        let (path, new) = (directory.join(name), directory.join(format!("{name}.new")));
        fs::write(&new, content.to_string()).map_err(LvmError::io("write", &new))?;
        fs::rename(&new, &path).map_err(LvmError::io("rename", &path))?;
    }
    Ok(directory)
}

/// Patterns of `lvm.conf(5)` for devices and nothing else. A character that patterns may know otherwise stands
/// for itself by being any one.
fn filter(devices: &[String]) -> Value {
    let pattern = |device: &String| {
        let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '/' | '-' | '_');
        let name: String = device
            .chars()
            .map(|it| if plain(it) { it } else { '.' })
            .collect();
        Value::Text(format!("a|^{name}$|"))
    };
    let rest = Value::Text("r|.*|".to_owned());
    Value::List(devices.iter().map(pattern).chain([rest]).collect())
}

fn render(host: &Host, udev: bool, devices: &[String]) -> Section {
    let mut config = host.config.clone();
    config.sections.retain(|(name, _)| name != "local");
    // LVM makes a pool's low-water mark of it, at which the kernel has an event for the driver.
    let event_at = Value::Number(EVENT_AT.cast_signed());
    config.set("activation", "thin_pool_autoextend_threshold", event_at);
    if config.at("global", "thin_check_options").is_none() {
        // Debian's LVM leaves the second away, and a pool that is found sound stays stopped.
        let options = ["-q", "--clear-needs-check-flag"].map(|it| Value::Text(it.to_owned()));
        config.set("global", "thin_check_options", Value::List(options.into()));
    }
    let mut number = |section: &str, key: &str, value: bool| {
        config.set(section, key, Value::Number(value.into()));
    };
    // The filter names them.
    number("devices", "use_devicesfile", false);
    number("backup", "backup", false);
    number("backup", "archive", false);
    number("activation", "udev_sync", udev);
    number("activation", "udev_rules", udev);
    number("activation", "verify_udev_operations", !udev);
    // Pools and snapshots grow by the driver's hand.
    number("activation", "monitoring", false);
    // Nothing is preallocated and locked for each suspend: nothing of a volume is swap of this process.
    number("activation", "reserved_memory", false);
    number("global", "use_lvmpolld", false);
    number("log", "syslog", false);
    number("log", "verbose", false);
    number("log", "level", false);
    number("config", "checks", false);
    let text = |text: &str| Value::Text(text.to_owned());
    if !udev {
        number("devices", "obtain_device_list_from_udev", false);
        config.set("devices", "external_device_info_source", text("none"));
    }
    config.set("devices", "hints", text("none"));
    config.set("devices", "filter", filter(devices));
    config.set("log", "file", text(""));
    config.set("global", "locking_dir", text(&host.locks.to_string_lossy()));
    let profiles = host.directory.join("profile");
    config.set("config", "profile_dir", text(&profiles.to_string_lossy()));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_s_choices_are_kept_and_the_worker_s_come_on_top() {
        let config = Section::parse(
            b"devices { global_filter = [\"a|/dev/sd|\", \"r|.*|\"] use_devicesfile = 1 }
              backup/backup = 1
              global { locking_dir = \"/run/lock/other\" units = 1.5 }",
        )
        .expect("parses");
        let host = Host {
            directory: PathBuf::from("/etc/lvm"),
            locks: PathBuf::from("/run/lock/other"),
            config,
            system_id: String::new(),
            extra_ids: Vec::new(),
            allowed: None,
        };
        let printed = render(&host, false, &[]).to_string();
        let config = Section::parse(printed.as_bytes()).expect("parses again");
        let number = |section, key| match config.at(section, key) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        };
        assert!(
            printed.contains("global_filter = [\"a|/dev/sd|\", \"r|.*|\"]"),
            "{printed}"
        );
        assert!(printed.contains("units = 1.5"), "{printed}");
        assert!(
            printed.contains("locking_dir = \"/run/lock/other\""),
            "{printed}"
        );
        assert_eq!(number("backup", "backup"), Some(0));
        assert_eq!(number("devices", "use_devicesfile"), Some(0));
        assert_eq!(number("activation", "udev_sync"), Some(0));
        assert_eq!(number("devices", "obtain_device_list_from_udev"), Some(0));
        let udev = render(&host, true, &[]);
        assert_eq!(udev.at("activation", "udev_sync"), Some(&Value::Number(1)));
        assert_eq!(udev.at("devices", "obtain_device_list_from_udev"), None);
    }
    #[test]
    fn a_worker_sees_the_devices_of_its_group_and_no_others() {
        let devices = ["/dev/ubda".to_owned(), "/dev/mapper/a.b|c".to_owned()];
        let list = ["a|^/dev/ubda$|", "a|^/dev/mapper/a.b.c$|", "r|.*|"];
        let list = list.map(|text| Value::Text(text.to_owned()));
        assert_eq!(filter(&devices), Value::List(list.to_vec()));
    }
}
