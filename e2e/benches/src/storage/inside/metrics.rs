//! What the driver counts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result};

/// Where it tells, by default.
const PAGE: (&str, u16) = ("127.0.0.1", 9478);
const COUNT: &str = "fairlead_csi_lvm_command_seconds_count{";

/// LVM commands that the driver has run.
pub(super) fn commands() -> Result<u64> {
    let mut stream = TcpStream::connect(PAGE).context("the driver's metrics")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    sum(&text)
}

fn sum(text: &str) -> Result<u64> {
    let counts = text.lines().filter(|line| line.starts_with(COUNT));
    counts
        .map(|line| {
            let number = line.rsplit(' ').next().unwrap_or_default();
            number.parse::<u64>().with_context(|| line.to_owned())
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_all_names_are_counted() {
        let text = "fairlead_csi_lvm_command_seconds_sum{command=\"Remove\",result=\"ok\"} 0.5\n\
                    fairlead_csi_lvm_command_seconds_count{command=\"Remove\",result=\"ok\"} 3\n\
                    fairlead_csi_lvm_command_seconds_bucket{le=\"0.1\",command=\"Remove\",result=\"ok\"} 3\n\
                    fairlead_csi_lvm_command_seconds_count{command=\"Extend\",result=\"error\"} 2\n";
        assert_eq!(sum(text).unwrap(), 5);
        assert!(sum("fairlead_csi_lvm_command_seconds_count{} many").is_err());
    }
}
