//! Limits of a device's I/O in a cgroup (version 2, `io.max`).

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use crate::device::DeviceNumber;
use crate::error::{MountError, Result};

/// Limits per second; none is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoLimits {
    /// Bytes read.
    pub read_bps: Option<u64>,
    /// Bytes written.
    pub write_bps: Option<u64>,
    /// Reads.
    pub read_iops: Option<u64>,
    /// Writes.
    pub write_iops: Option<u64>,
}

impl fmt::Display for IoLimits {
    /// `rbps=max wbps=1048576 riops=max wiops=max`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |limit: Option<u64>| limit.map_or_else(|| "max".to_owned(), |it| it.to_string());
        write!(
            f,
            "rbps={} wbps={} riops={} wiops={}",
            word(self.read_bps),
            word(self.write_bps),
            word(self.read_iops),
            word(self.write_iops)
        )
    }
}

/// Writes the limits of one device. The kernel forgets them with the cgroup and with the device.
pub fn set_io_max(cgroup: &Path, device: DeviceNumber, limits: &IoLimits) -> Result<()> {
    let file = cgroup.join("io.max");
    fs::write(&file, format!("{device} {limits}\n"))
        .map_err(MountError::io("write the limits to", file))
}

/// Reads them back: no line is no limit.
pub fn io_max(cgroup: &Path, device: DeviceNumber) -> Result<IoLimits> {
    let file = cgroup.join("io.max");
    match fs::read_to_string(&file) {
        Ok(text) => parse(&text, device),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(MountError::NotFound {
            operation: "read the limits of",
            path: file,
        }),
        Err(error) => Err(MountError::io("read the limits of", file)(error)),
    }
}

fn parse(text: &str, device: DeviceNumber) -> Result<IoLimits> {
    let device = device.to_string();
    let line = text
        .lines()
        .find_map(|line| line.split_once(' ').filter(|(it, _)| *it == device));
    let mut limits = IoLimits::default();
    for word in line.map_or("", |(_, words)| words).split_ascii_whitespace() {
        let malformed = || MountError::Malformed {
            what: "a limit of io.max",
            text: word.to_owned(),
        };
        let (key, value) = word.split_once('=').ok_or_else(malformed)?;
        let value = if value == "max" {
            None
        } else {
            Some(value.parse().map_err(|_| malformed())?)
        };
        match key {
            "rbps" => limits.read_bps = value,
            "wbps" => limits.write_bps = value,
            "riops" => limits.read_iops = value,
            "wiops" => limits.write_iops = value,
            _ => {}
        }
    }
    Ok(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceNumber = DeviceNumber {
        major: 253,
        minor: 3,
    };

    #[test]
    fn limits_are_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let limits = IoLimits {
            write_bps: Some(5 << 20),
            read_iops: Some(100),
            ..Default::default()
        };
        set_io_max(dir.path(), DEVICE, &limits).unwrap();
        let text = fs::read_to_string(dir.path().join("io.max")).unwrap();
        assert_eq!(text, "253:3 rbps=max wbps=5242880 riops=100 wiops=max\n");
        assert_eq!(io_max(dir.path(), DEVICE).unwrap(), limits);
    }

    #[test]
    fn another_device_has_no_limit() {
        let text = "253:30 rbps=1 wbps=max riops=max wiops=max\n";
        assert_eq!(parse(text, DEVICE).unwrap(), IoLimits::default());
    }

    #[test]
    fn a_broken_limit_is_shown() {
        let error = parse("253:3 rbps=x", DEVICE).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot read a limit of io.max \"rbps=x\""
        );
    }

    #[test]
    fn no_text_makes_the_parser_panic() {
        bolero::check!()
            .with_type::<String>()
            .for_each(|text| drop(parse(text, DEVICE)));
    }
}
