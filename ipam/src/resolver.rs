//! Name servers from a file in resolv.conf(5)'s format, for `resolvConf`.

use std::path::Path;

use crate::error::{IpamError, Result};

/// CNI's `dns` object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dns {
    /// `nameserver` lines in their order.
    pub nameservers: Vec<String>,
    /// The last `domain` line.
    pub domain: Option<String>,
    /// Words of all `search` lines.
    pub search: Vec<String>,
    /// Words of all `options` lines.
    pub options: Vec<String>,
}

/// Reads the file at `path`.
pub(crate) fn read(path: &Path) -> Result<Dns> {
    let text = std::fs::read(path).map_err(IpamError::io("read resolvConf", path))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Unknown lines, comments and keywords without a value are skipped.
fn parse(text: &str) -> Dns {
    let mut dns = Dns::default();
    for line in text.lines() {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(keyword), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        match keyword.as_str() {
            "nameserver" => dns.nameservers.push(value),
            "domain" => dns.domain = Some(value),
            "search" => dns.search.extend(std::iter::once(value).chain(words)),
            "options" => dns.options.extend(std::iter::once(value).chain(words)),
            _ => {}
        }
    }
    dns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keywords_are_read_and_everything_else_is_skipped() {
        let dns = parse(
            "# c\n; c\n\nnameserver\nnameserver 192.0.2.1\n nameserver 192.0.2.2 x\n\
                         domain a.example\nsearch b.example c.example\noptions ndots:5 edns0\nsortlist 1\n",
        );
        assert_eq!(dns.nameservers, ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(dns.domain.as_deref(), Some("a.example"));
        assert_eq!(dns.search, ["b.example", "c.example"]);
        assert_eq!(dns.options, ["ndots:5", "edns0"]);
    }

    #[test]
    fn a_missing_file_is_named() {
        assert_eq!(
            read(Path::new("/nonexistent")).unwrap_err().to_string(),
            "cannot read resolvConf /nonexistent: No such file or directory (os error 2)"
        );
    }
}
